-- Every list of runs goes through one index in place of two: within a state and a workflow, runs lie in
-- the order of a page.

DROP INDEX runs_by_namespace;
DROP INDEX runs_by_state;
CREATE INDEX runs_by_place ON runs (state, namespace, name, run);
