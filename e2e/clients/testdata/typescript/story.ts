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

// carriedOut returns what a command has made: it has not become an approval, which waits for
// others.
function carriedOut<T extends object>(answer: T): Exclude<T, Schemas["Approval"]> {
  if ("digest" in answer) {
    throw new Error(`this waits for approvals: ${JSON.stringify(answer)}`);
  }
  return answer as Exclude<T, Schemas["Approval"]>;
}

// The operator makes an institution and its keys, each with its secret: none of this is a dry run.
const root = clientOf(process.env.ROOT_API_KEY);
const institution = done(
  await root.POST("/institutions", { body: { name: "First Builders Bank", regions: ["US"] } }),
);
const ofInstitution = { path: { id: institution.id } };
async function clientOfNew(body: Schemas["CreateApiKey"]) {
  const answer = await root.POST("/institutions/{id}/api-keys", { params: ofInstitution, body });
  const key = carriedOut(done(answer));
  if (!("apiKey" in key)) {
    throw new Error(`this key has no secret: ${JSON.stringify(key)}`);
  }
  return clientOf(key.apiKey);
}
const bank = await clientOfNew({ label: "payments service", role: "admin" });
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
const position: Schemas["Position"] = carriedOut(done(created));
expect("the version", created.response.headers.get("ETag"), '"1"');
const steps: Schemas["TransitionPosition"][] = [
  { toState: "FUNDED" },
  { toState: "PARTIALLY_RELEASED", amount: "250.00", reason: "foundations are done" },
  { toState: "RELEASED" },
];
const held: string[] = [];
for (const body of steps) {
  const params = { path: { id: position.id } };
  held.push(carriedOut(done(await bank.POST("/positions/{id}/transition", { params, body }))).held);
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

// What meets a rule waits for another person.
const maker = await clientOfNew({ label: "operations", role: "operator", owner: "E-1041" });
const checker = await clientOfNew({ label: "checks", role: "approver", owner: "E-2088" });
const rules = carriedOut(
  done(
    await bank.PUT("/institutions/{id}/approval-rules", {
      params: ofInstitution,
      body: {
        rules: [
          {
            id: "large-releases",
            on: ["positions.release"],
            when: { amountFrom: { USD: "5000" } },
            require: [{ role: "approver", count: 1 }],
            expiresIn: "72h",
          },
        ],
      },
    }),
  ),
);
expect("the permissions of the rule", rules.rules[0]?.on, ["positions.release"]);
const large = carriedOut(
  done(
    await maker.POST("/positions", {
      body: { assetId: asset.id, holderReference: "ACME-4713", currency: "USD", amount: "9000.00" },
    }),
  ),
);
const ofLarge = { path: { id: large.id } };
await maker.POST("/positions/{id}/transition", { params: ofLarge, body: { toState: "FUNDED" } });
const asked = await maker.POST("/positions/{id}/transition", {
  params: ofLarge,
  body: { toState: "RELEASED" },
});
expect("the status of what waits", asked.response.status, 202);
const approval = done(asked);
if (!("digest" in approval)) {
  throw new Error(`the release did not wait: ${JSON.stringify(approval)}`);
}
const inbox = done(await checker.GET("/me/inbox", {}));
expect("the checker's inbox", inbox.data.map((one) => one.id), [approval.id]);
const decided = done(
  await checker.POST("/approvals/{id}/approve", {
    params: { path: { id: approval.id } },
    body: { digest: approval.digest },
  }),
);
expect("the status of the approval", decided.status, "EXECUTED");
const released = done(await bank.GET("/positions/{id}", { params: ofLarge }));
expect("the state after the approval", released.state, "RELEASED");
