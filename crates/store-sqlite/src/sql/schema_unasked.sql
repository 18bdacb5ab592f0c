-- Orders that nobody has asked for by a request, by when their time is over.
CREATE INDEX orders_unasked ON orders (until, position) WHERE request IS NULL;
