import coffer.bank.ApiClient;
import coffer.bank.ApiException;
import coffer.bank.api.MoneyApi;
import coffer.bank.api.SignInApi;
import coffer.bank.model.LoginRequest;
import coffer.bank.model.MovementRequest;
import coffer.bank.model.MovementType;
import coffer.bank.model.Problem;
import coffer.bank.model.TransactionStatus;
import java.util.UUID;

class Program {
    static final String BANK = System.getenv("BANK");
    static final String ACCOUNT = System.getenv("ACCOUNT");
    static final String ABOVE = System.getenv("APPROVAL_ABOVE") + ".01";

    static ApiClient client() {
        var client = new ApiClient();
        client.updateBaseUri(BANK);
        return client;
    }

    static ApiClient signIn(String email) throws ApiException {
        var request = new LoginRequest().email(email).password(System.getenv("PASSWORD"));
        var token = new SignInApi(client()).login(request, null).getAccessToken();
        return client().setRequestInterceptor(call -> call.header("Authorization", "Bearer " + token));
    }

    static MovementRequest movement(String amount) {
        return new MovementRequest().accountNumber(ACCOUNT).amount(amount);
    }

    static void expect(boolean holds, Object instead) {
        if (!holds) throw new AssertionError(instead);
    }

    public static void main(String[] arguments) throws Exception {
        var customer = signIn(System.getenv("CUSTOMER"));
        var deposited = new MoneyApi(customer)
            .depositWithHttpInfo(movement("100.50").description("Salary"), UUID.randomUUID().toString(), null, null);
        var posted = deposited.getData();
        expect(deposited.getStatusCode() == 201, deposited.getStatusCode());
        expect(posted.getStatus() == TransactionStatus.POSTED, posted);
        expect(posted.getType() == MovementType.DEPOSIT, posted);
        expect("100.50".equals(posted.getBalance()), posted);
        expect(posted.getSequence() == 1, posted);
        expect(posted.getCounterparty() == null, posted);

        try {
            var withdrawn = new MoneyApi(customer).withdraw(movement("1000"), null, null, null);
            throw new AssertionError(withdrawn);
        } catch (ApiException refused) {
            // The generator decodes no body but that of a success.
            var problem = customer.getObjectMapper().readValue(refused.getResponseBody(), Problem.class);
            expect(refused.getCode() == 409, refused);
            expect(problem.getStatus() == 409, problem);
            expect("insufficient_funds".equals(problem.getCode()), problem);
        }

        var requested = new MoneyApi(signIn(System.getenv("STAFF"))).depositWithHttpInfo(movement(ABOVE), null, null, null);
        var pending = requested.getData();
        expect(requested.getStatusCode() == 202, requested.getStatusCode());
        expect(pending.getStatus() == TransactionStatus.PENDING_APPROVAL, pending);
        expect(pending.getBalance() == null, pending);
        expect(ABOVE.equals(pending.getAmount()), pending);
    }
}
