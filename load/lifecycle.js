// Every path through the lifecycle of a position: all states, partial releases,
// retainage, expiry by the clock, and transitions that must be refused. The script
// creates the assets that it needs.

import exec from 'k6/execution';
import { check, sleep } from 'k6';
import { abort, Client, member } from './lib/client.js';
import { key } from './lib/config.js';
import {
  claim,
  CREATE_POSITION,
  createAsset,
  createPosition,
  createTemplate,
  getPosition,
  possibleTemplates,
  preflight,
  refusedTransition,
  TRANSITION,
  transition,
} from './lib/escrow.js';
import { FUNDED } from './lib/objectives.js';
import { openModel } from './lib/profile.js';

export { handleSummary } from './lib/summary.js';

const API_KEY = key('API_KEY');
const client = new Client(API_KEY);

// How long after its creation a position expires, and how long after that the server
// may take to expire it, in seconds.
const EXPIRES_AFTER = 5;
const EXPIRED_WITHIN = 30;

const PATHS = [release, retain, cancel, expire, expireByClock, refuse];

export const options = openModel('lifecycle', {
  rate: 5,
  length: '1m',
  // One in six waits for its position to expire.
  seconds: 5,
  endpoints: [CREATE_POSITION, TRANSITION],
  floor: FUNDED,
});

export function setup() {
  preflight(API_KEY);
  const templates = possibleTemplates(client);
  return { escrow: assetOf(templates, 'CONSTR_ESCROW'), retainage: assetOf(templates, 'CONSTR_RETAINAGE') };
}

function assetOf(templates, code) {
  const template = templates.find((one) => one.code === code);
  if (!template) {
    abort("lifecycle: the key's institution is not active in CONSTRUCTION");
  }
  const { id } = createTemplate(client, template);
  return createAsset(client, id, 'Load test, lifecycle').id;
}

// The paths take turns, so that a short run has them all.
export default function (assets) {
  PATHS[exec.scenario.iterationInTest % PATHS.length](assets);
}

// create creates a position and calls next with it, unless a policy refused it.
function create(assetID, next, rest = {}) {
  const created = createPosition(client, Object.assign(claim(assetID), rest));
  if (created.outcome === 'ok') {
    next(created.id, created.response);
  }
}

function release(assets) {
  create(assets.escrow, (id) => {
    transition(client, id, 'FUNDED');
    transition(client, id, 'PARTIALLY_RELEASED', { amount: '250.00', reason: 'foundations are done' });
    transition(client, id, 'PARTIALLY_RELEASED', { amount: '0.01' });
    transition(client, id, 'RELEASED', { amount: '749.99' });
  });
}

// The template retains 100 of 1000 dollars until the last release.
function retain(assets) {
  create(assets.retainage, (id) => {
    transition(client, id, 'FUNDED');
    transition(client, id, 'PARTIALLY_RELEASED', { amount: '900.00' });
    refusedTransition(client, id, 'PARTIALLY_RELEASED', 422, 'template_retainage', { amount: '0.01' });
    transition(client, id, 'RELEASED');
  });
}

function cancel(assets) {
  create(assets.escrow, (id) => transition(client, id, 'CANCELLED'));
  create(assets.escrow, (id) => {
    transition(client, id, 'FUNDED');
    transition(client, id, 'PARTIALLY_RELEASED', { amount: '250.00' });
    transition(client, id, 'CANCELLED', { reason: 'the site was sold' });
  });
}

function expire(assets) {
  create(assets.escrow, (id) => transition(client, id, 'EXPIRED'));
  create(assets.escrow, (id) => {
    transition(client, id, 'FUNDED');
    transition(client, id, 'EXPIRED');
  });
}

function expireByClock(assets) {
  create(assets.escrow, (_, earlier) => {
    // The server's clock counts, which may differ from this one.
    const now = Date.parse(member(earlier, 'createdAt'));
    const expiresAt = new Date(now + EXPIRES_AFTER * 1000).toISOString();
    create(
      assets.escrow,
      (id) => {
        transition(client, id, 'FUNDED');
        const refunded = waitUntilExpired(id);
        check(null, { 'expired by the clock, with its money refunded': refunded });
        if (refunded) {
          refusedTransition(client, id, 'RELEASED', 409, 'invalid_transition');
        }
      },
      { expiresAt },
    );
  });
}

// waitUntilExpired reports whether a position became EXPIRED in time and its money was
// refunded.
function waitUntilExpired(id) {
  for (let seconds = 0; seconds < EXPIRES_AFTER + EXPIRED_WITHIN; seconds++) {
    sleep(1);
    const { ok, response } = getPosition(client, id);
    if (ok && member(response, 'state') === 'EXPIRED') {
      return member(response, 'held') === '0.00' && member(response, 'refunded') === '1000.00';
    }
  }
  return false;
}

function refuse(assets) {
  create(assets.escrow, (id) => {
    refusedTransition(client, id, 'PARTIALLY_RELEASED', 409, 'invalid_transition', { amount: '1.00' });
    transition(client, id, 'FUNDED');
    refusedTransition(client, id, 'FUNDED', 409, 'invalid_transition');
    refusedTransition(client, id, 'PARTIALLY_RELEASED', 422, 'transition_amount', { amount: '1000.00' });
    refusedTransition(client, id, 'RELEASED', 412, 'version_mismatch', {}, { 'If-Match': '"1"' });
    transition(client, id, 'RELEASED');
    refusedTransition(client, id, 'CANCELLED', 409, 'invalid_transition');
  });
}
