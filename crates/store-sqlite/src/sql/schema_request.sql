-- Orders by what they were given for, and all of a site. What each column means stands in docs/spec/store.md.
ALTER TABLE orders ADD COLUMN request BLOB;

CREATE INDEX orders_by_site ON orders (site, position);
CREATE INDEX orders_by_request ON orders (request, position) WHERE request IS NOT NULL;
