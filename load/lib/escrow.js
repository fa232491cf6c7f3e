// The operations of the API, with a function each. An operation is judged by what must
// hold for its answer, not by the status alone.

import { Counter } from 'k6/metrics';
import { abort, Client, member } from './client.js';
import { API_URL } from './config.js';

const positionsCreated = new Counter('positions_created');
const positionsFunded = new Counter('positions_funded');
const assetsCreated = new Counter('assets_created');
const institutionsCreated = new Counter('institutions_created');
const approvalsExecuted = new Counter('approvals_executed');

export const CREATE_POSITION = 'POST /positions';
export const TRANSITION = 'POST /positions/{id}/transition';
export const GET_POSITION = 'GET /positions/{id}';
export const LIST_POSITIONS = 'GET /positions';
export const LEDGER_EVENTS = 'GET /ledger-events';
export const CREATE_TEMPLATE = 'POST /asset-templates';
export const CREATE_ASSET = 'POST /assets';
export const LIST_ASSETS = 'GET /assets';
export const CREATE_INSTITUTION = 'POST /institutions';
export const CREATE_KEY = 'POST /institutions/{id}/api-keys';
export const APPROVE = 'POST /approvals/{id}/approve';

// preflight ends the run before its load starts if it would be useless: without a server,
// with an invalid key, or without the asset. It is the setup of most scripts.
export function preflight(apiKey, assetID) {
  const client = new Client(apiKey);
  const path = assetID ? `/assets/${encodeURIComponent(assetID)}` : '/institutions?limit=1';
  const response = client.probe(path);
  if (response.status === 0) {
    abort(`API_URL: nothing answers at ${API_URL}: ${response.error}`);
  }
  if (assetID && (member(response, 'code') === 'asset_not_found' || response.status === 422)) {
    abort(`ASSET_ID: "${assetID}" is not an asset of the key's institution`);
  }
}

// claim returns the input of a position of 1000 dollars on an asset.
export function claim(assetID) {
  return { assetId: assetID, holderReference: `LOAD_TEST_${__VU}_${Date.now()}`, currency: 'USD', amount: 1000 };
}

// createPosition creates a position. A policy or a template may refuse it.
export function createPosition(client, position) {
  const created = client.write({
    kind: 'create',
    endpoint: CREATE_POSITION,
    path: '/positions',
    // All attempts of an operation, and no other operation, have this reference.
    body: (operationID) => Object.assign({ externalReference: operationID }, position),
    check: '201 or 4xx policy',
    status: 201,
    holds: (response, operationID) =>
      member(response, 'externalReference') === operationID && member(response, 'state') === 'CREATED',
    mayBeRefused: true,
  });
  if (created.outcome === 'ok') {
    positionsCreated.add(1);
  }
  return created;
}

// transition moves a position to another state. rest holds further members of the body.
export function transition(client, positionID, toState, rest = {}) {
  const done = client.write({
    kind: toState,
    endpoint: TRANSITION,
    path: `/positions/${positionID}/transition`,
    subject: positionID,
    body: () => Object.assign({ toState }, rest),
    check: `${toState.toLowerCase()} with 200`,
    status: 200,
    holds: (response) =>
      member(response, 'id') === positionID && member(response, 'state') === toState && addsUp(response),
  });
  if (done.outcome === 'ok' && toState === 'FUNDED') {
    positionsFunded.add(1);
  }
  return done;
}

// askForRelease asks for the release of a position, which an approval rule has wait for others.
export function askForRelease(client, positionID) {
  return client.write({
    kind: 'RELEASED',
    endpoint: TRANSITION,
    path: `/positions/${positionID}/transition`,
    subject: positionID,
    body: () => ({ toState: 'RELEASED' }),
    check: 'release waits with 202',
    status: 202,
    holds: (response) =>
      member(response, 'status') === 'PENDING' && member(response, 'subjects.0.subject') === positionID,
  });
}

// approve approves what askForRelease has asked for, which carries it out.
export function approve(client, asked) {
  const done = client.write({
    kind: 'approve',
    endpoint: APPROVE,
    path: `/approvals/${asked.id}/approve`,
    subject: asked.id,
    body: () => ({ digest: member(asked.response, 'digest') }),
    check: 'approved and executed with 200',
    status: 200,
    holds: (response) =>
      member(response, 'id') === asked.id &&
      member(response, 'status') === 'EXECUTED' &&
      member(response, 'executed.entries') === 1,
  });
  if (done.outcome === 'ok') {
    approvalsExecuted.add(1);
  }
  return done;
}

// refusedTransition sends a transition that the server must refuse with this status and
// code.
export function refusedTransition(client, positionID, toState, status, code, rest = {}, headers = {}) {
  return client.write({
    kind: toState,
    endpoint: TRANSITION,
    path: `/positions/${positionID}/transition`,
    subject: positionID,
    headers,
    body: () => Object.assign({ toState }, rest),
    check: `refused with ${code}`,
    refusal: { status, code },
  });
}

// createAndFund creates a position and funds it.
export function createAndFund(client, assetID) {
  const created = createPosition(client, claim(assetID));
  if (created.outcome === 'ok') {
    transition(client, created.id, 'FUNDED');
  }
}

// createTemplate creates a template from its input.
export function createTemplate(client, template) {
  return client.write({
    kind: 'template',
    endpoint: CREATE_TEMPLATE,
    path: '/asset-templates',
    body: () => template,
    check: 'template with 201',
    status: 201,
    holds: (response) => member(response, 'code') === template.code,
  });
}

export function createAsset(client, templateID, label) {
  const created = client.write({
    kind: 'asset',
    endpoint: CREATE_ASSET,
    path: '/assets',
    body: () => ({ templateId: templateID, label }),
    check: 'asset with 201',
    status: 201,
    holds: (response) => member(response, 'templateId') === templateID,
  });
  if (created.outcome === 'ok') {
    assetsCreated.add(1);
  }
  return created;
}

export function createInstitution(root, name, regions) {
  const created = root.write({
    kind: 'institution',
    endpoint: CREATE_INSTITUTION,
    path: '/institutions',
    body: () => ({ name, regions }),
    check: 'institution with 201',
    status: 201,
    holds: (response) => member(response, 'name') === name,
  });
  if (created.outcome === 'ok') {
    institutionsCreated.add(1);
  }
  return created;
}

export function createKey(root, institutionID, label) {
  return root.write({
    kind: 'key',
    endpoint: CREATE_KEY,
    path: `/institutions/${institutionID}/api-keys`,
    body: () => ({ label, role: 'admin' }),
    check: 'key with 201',
    status: 201,
    holds: (response) => member(response, 'apiKey') !== '',
  });
}

export function getPosition(client, positionID) {
  return client.read({ name: 'get', endpoint: GET_POSITION, path: `/positions/${positionID}` });
}

export function listPositions(client, query) {
  return client.read({ name: 'list', endpoint: LIST_POSITIONS, path: `/positions?${query}` });
}

export function ledgerEvents(client, query) {
  return client.read({ name: 'ledger', endpoint: LEDGER_EVENTS, path: `/ledger-events?${query}` });
}

export function listAssets(client, query) {
  return client.read({ name: 'assets', endpoint: LIST_ASSETS, path: `/assets?${query}` });
}

// A template of each code, with the vertical in which it may be created.
const TEMPLATES = [
  { code: 'CONSTR_ESCROW', vertical: 'CONSTRUCTION', config: { currency: 'USD' } },
  { code: 'CONSTR_RETAINAGE', vertical: 'CONSTRUCTION', config: { currency: 'USD', retainagePercentage: 10 } },
  { code: 'TF_INVOICE', vertical: 'TRADE_FINANCE', config: { currency: 'USD', maxTenorDays: 90, country: 'DE' } },
  { code: 'TF_LC', vertical: 'TRADE_FINANCE', config: { currency: 'USD', maxTenorDays: 90, issuingBankCountry: 'DE' } },
];

// possibleTemplates returns the templates that the key's institution can create, in a
// region and in the verticals in which it is active.
export function possibleTemplates(client) {
  const { ok, response } = client.read({
    name: 'institutions',
    endpoint: 'GET /institutions',
    path: '/institutions?limit=1',
  });
  if (!ok) {
    abort(`the key's institution cannot be read: ${response.status} ${member(response, 'code')}`);
  }
  const region = member(response, 'data.0.regions.0');
  const verticals = member(response, 'data.0.verticals');
  return TEMPLATES.filter((template) => verticals.includes(template.vertical)).map((template) =>
    Object.assign({ name: `Load test, ${template.code}`, region }, template),
  );
}

// addsUp reports whether a position's amounts add up: funded = released + refunded + held.
function addsUp(response) {
  const [funded, released, refunded, held] = ['funded', 'released', 'refunded', 'held'].map(
    (name) => Number(String(member(response, name)).replace('.', '')), // In minor units.
  );
  return funded === released + refunded + held;
}
