-- Minor units: whoever listens to events is told when a movement takes the balance below it. Null for never.
alter table accounts add column alert_below bigint;
