-- SMS are delivered on their own, whatever becomes of e-mail: kept = 3.
CREATE INDEX messages_due_by_sms ON messages (due) WHERE kept = 3;
