package main

import (
	"context"
	"log"
	"net/http"
	"os"

	"coffer/generated/bank"

	"github.com/google/uuid"
)

var (
	password = os.Getenv("PASSWORD")
	account  = os.Getenv("ACCOUNT")
	above    = os.Getenv("APPROVAL_ABOVE") + ".01"
)

// expect ends the program with what came instead, unless it holds.
func expect(holds bool, instead any) {
	if !holds {
		log.Panicf("%+v", instead)
	}
}

func client(token string) *bank.ClientWithResponses {
	client, err := bank.NewClientWithResponses(os.Getenv("BANK"), bank.WithRequestEditorFn(
		func(_ context.Context, request *http.Request) error {
			if token != "" {
				request.Header.Set("Authorization", "Bearer "+token)
			}
			return nil
		}))
	expect(err == nil, err)
	return client
}

func signIn(email string) *bank.ClientWithResponses {
	answer, err := client("").LoginWithResponse(context.Background(), nil, bank.LoginRequest{Email: email, Password: password})
	expect(err == nil, err)
	expect(answer.JSON200 != nil, string(answer.Body))
	return client(answer.JSON200.AccessToken)
}

func main() {
	ctx := context.Background()
	customer := signIn(os.Getenv("CUSTOMER"))

	key, salary := uuid.NewString(), "Salary"
	deposited, err := customer.DepositWithResponse(ctx, &bank.DepositParams{IdempotencyKey: &key},
		bank.MovementRequest{AccountNumber: account, Amount: "100.50", Description: &salary})
	expect(err == nil, err)
	expect(deposited.StatusCode() == http.StatusCreated, string(deposited.Body))
	posted := deposited.JSON201
	expect(posted != nil, string(deposited.Body))
	expect(posted.Status == bank.TransactionStatusPosted, posted)
	expect(posted.Type == bank.MovementTypeDeposit, posted)
	expect(posted.Balance != nil && *posted.Balance == "100.50", posted)
	expect(posted.Sequence != nil && *posted.Sequence == 1, posted)
	expect(posted.Counterparty == nil, posted)

	refused, err := customer.WithdrawWithResponse(ctx, nil, bank.MovementRequest{AccountNumber: account, Amount: "1000"})
	expect(err == nil, err)
	problem := refused.ApplicationproblemJSON409
	expect(problem != nil, string(refused.Body))
	expect(problem.Status == http.StatusConflict, problem)
	expect(problem.Code == "insufficient_funds", problem)

	requested, err := signIn(os.Getenv("STAFF")).DepositWithResponse(ctx, nil,
		bank.MovementRequest{AccountNumber: account, Amount: above})
	expect(err == nil, err)
	expect(requested.StatusCode() == http.StatusAccepted, string(requested.Body))
	pending := requested.JSON202
	expect(pending != nil, string(requested.Body))
	expect(pending.Status == bank.TransactionStatusPendingApproval, pending)
	expect(pending.Balance == nil, pending)
	expect(pending.Amount == above, pending)
}
