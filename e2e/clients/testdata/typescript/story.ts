// Takes a position through its life with the client that openapi-fetch makes of the types
// that openapi-typescript has generated. It ends with an error where something is not as
// the types say, or has not happened.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { env: Record<string, string | undefined> };

type Schemas = components["schemas"];

// Several values of a filter have commas between them. Answers are JSON, of all formats.
const clientOf = (key: string | undefined) =>
  createClient<paths, "application/json" | "application/problem+json">({
    baseUrl: process.env.API_URL ?? "",
    headers: { "X-API-KEY": key ?? "" },
    querySerializer: { array: { style: "form", explode: false } },
  });

// done returns the body of an answer that is no error.
function done<T>(answer: { data?: T; error?: Schemas["Problem"] }): T {
  if (answer.data === undefined) {
    throw new Error(JSON.stringify(answer.error));
  }
  return answer.data;
}

function expect(what: string, got: unknown, want: unknown) {
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    throw new Error(`${what} is ${JSON.stringify(got)}, not ${JSON.stringify(want)}`);
  }
}

// The operator makes an institution and its key.
const root = clientOf(process.env.ROOT_API_KEY);
const institution = done(
  await root.POST("/institutions", { body: { name: "First Builders Bank", regions: ["US"] } }),
);
const ofInstitution = { path: { id: institution.id } };
const key = done(
  await root.POST("/institutions/{id}/api-keys", {
    params: ofInstitution,
    body: { label: "payments service", role: "admin" },
  }),
);
const bank = clientOf(key.apiKey);
const keys = done(
  await bank.GET("/institutions/{id}/api-keys", {
    params: { ...ofInstitution, query: { includeRevoked: true } },
  }),
);
expect("the number of keys", keys.data.length, 1);

// The institution makes what a position needs.
const template = done(
  await bank.POST("/asset-templates", {
    body: {
      code: "CONSTR_ESCROW",
      name: "Tower escrow",
      vertical: "CONSTRUCTION",
      region: "US",
      config: { currency: "USD" },
    },
  }),
);
const asset = done(
  await bank.POST("/assets", { body: { templateId: template.id, label: "Harbour Tower, lot 3" } }),
);

// A position comes to its end in steps.
const created = await bank.POST("/positions", {
  params: { header: { "Idempotency-Key": "claim-4711" } },
  body: { assetId: asset.id, holderReference: "ACME-4711", currency: "USD", amount: "1000.00" },
});
const position: Schemas["Position"] = done(created);
expect("the version", created.response.headers.get("ETag"), '"1"');
const steps: Schemas["TransitionPosition"][] = [
  { toState: "FUNDED" },
  { toState: "PARTIALLY_RELEASED", amount: "250.00", reason: "foundations are done" },
  { toState: "RELEASED" },
];
const held: string[] = [];
for (const body of steps) {
  const params = { path: { id: position.id } };
  held.push(done(await bank.POST("/positions/{id}/transition", { params, body })).held);
}
expect("what is held after each step", held, ["1000.00", "750.00", "0.00"]);

// Lists and statements take numbers as numbers.
const positions = done(
  await bank.GET("/positions", { params: { query: { limit: 1000, state: ["FUNDED", "RELEASED"] } } }),
);
expect("the limit", positions.pagination.limit, 1000);
expect("the released positions", positions.data.map((p) => p.id), [position.id]);
const statement = done(
  await bank.GET("/institutions/{id}/statements", {
    params: { ...ofInstitution, query: { limit: 1000, format: "json" } },
  }),
);
expect("what moved", statement.movements.map((m) => m.amount), ["1000.00", "250.00", "750.00"]);

// An error has a body of its type.
const refused = await bank.POST("/positions", {
  body: { assetId: asset.id, holderReference: "ACME-4712", currency: "USD", amount: "-1" },
});
expect("the status of an error", refused.response.status, 422);
expect("the code of an error", refused.error?.code, "invalid_input");
expect("the fields of an error", refused.error?.errors?.map((fault) => fault.field), ["amount"]);
