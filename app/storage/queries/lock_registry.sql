-- The end of the audit, held until the change that is being made is committed.
SELECT entries, hash FROM registry FOR UPDATE
