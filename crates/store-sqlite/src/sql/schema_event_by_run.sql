-- What a run has emitted, by its number: few events have one, and the life of runs has none.
CREATE INDEX events_by_run ON events (run, number) WHERE number > 0;
