-- One durable row.
INSERT INTO inserts (body) VALUES (repeat('x', 400));
