// Writes and reads side by side, in the shares of MIX.

import { Client } from './lib/client.js';
import { given, key, required, wrong } from './lib/config.js';
import {
  claim,
  CREATE_POSITION,
  createPosition,
  GET_POSITION,
  getPosition,
  LEDGER_EVENTS,
  ledgerEvents,
  LIST_POSITIONS,
  listPositions,
  preflight,
  TRANSITION,
  transition,
} from './lib/escrow.js';
import { FUNDED } from './lib/objectives.js';
import { openModel } from './lib/profile.js';

export { handleSummary } from './lib/summary.js';

const API_KEY = key('API_KEY');
const ASSET_ID = required('ASSET_ID');
const client = new Client(API_KEY);

// The positions that this client created and has not released, oldest first. Positions
// beyond the bound get no transitions.
const positions = [];
const MAX_POSITIONS = 100;

const ACTIONS = { create, transition: step, get, list, ledger };
const MIX = shares('MIX', 'create:30,transition:30,get:20,list:10,ledger:10');
const SUM = MIX.reduce((sum, [, share]) => sum + share, 0);

// shares parses a list of actions and their shares.
function shares(name, byDefault) {
  const value = given(name) || byDefault;
  const list = value.split(',').map((part) => {
    const [, action, share] = /^\s*([a-z]+):(\d{1,6})\s*$/.exec(part) || [];
    return [action, Number(share)];
  });
  if (!list.every(([action]) => ACTIONS[action]) || list.every(([, share]) => share === 0)) {
    wrong(name, value, `a list of shares of ${Object.keys(ACTIONS).join(', ')} like ${byDefault}`);
  }
  return list;
}

export const options = openModel('mixed', {
  rate: 100,
  length: '5m',
  seconds: 1,
  endpoints: [CREATE_POSITION, TRANSITION, GET_POSITION, LIST_POSITIONS, LEDGER_EVENTS],
  floor: FUNDED,
});

// setup also creates a position, for clients that read one before they have created
// their own.
export function setup() {
  preflight(API_KEY, ASSET_ID);
  return { first: createPosition(client, claim(ASSET_ID)).id };
}

export default function (run) {
  let drawn = Math.random() * SUM;
  const [action] = MIX.find(([, share]) => (drawn -= share) < 0);
  ACTIONS[action](run);
}

function create() {
  const created = createPosition(client, claim(ASSET_ID));
  if (created.outcome === 'ok' && positions.length < MAX_POSITIONS) {
    positions.push({ id: created.id, state: 'CREATED' });
  }
}

// The state after each state, and further members of the transition's body.
const NEXT = {
  CREATED: ['FUNDED', {}],
  FUNDED: ['PARTIALLY_RELEASED', { amount: '250.00', reason: 'milestone 1' }],
  PARTIALLY_RELEASED: ['RELEASED', { reason: 'handed over' }],
};

// step moves the oldest position to its next state. A client without a position creates one
// first: where there are many clients, each has few turns, and transitions get their share.
function step() {
  if (positions.length === 0) {
    create();
  }
  const position = positions.shift();
  if (!position) {
    return;
  }

  const [toState, rest] = NEXT[position.state];
  if (transition(client, position.id, toState, rest).outcome === 'ok' && NEXT[toState]) {
    positions.push({ id: position.id, state: toState });
  }
}

function get({ first }) {
  const position = positions[Math.floor(Math.random() * positions.length)];
  const id = position ? position.id : first;
  if (id) {
    getPosition(client, id);
  }
}

function list() {
  listPositions(client, `assetId=${ASSET_ID}&state=FUNDED&order=desc&limit=50`);
}

function ledger() {
  ledgerEvents(client, 'order=desc&limit=50');
}
