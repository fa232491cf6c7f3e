// Four eyes. The maker, with API_KEY, creates a position, funds it and asks for its release,
// which waits; the checker, with CHECKER_API_KEY, approves it, and so it is carried out. The
// institution needs an approval rule on positions.release that one approval of the checker
// meets, and none on positions.create and positions.fund.

import { abort, Client } from './lib/client.js';
import { key, required } from './lib/config.js';
import {
  APPROVE,
  approve,
  askForRelease,
  claim,
  CREATE_POSITION,
  createPosition,
  preflight,
  TRANSITION,
  transition,
} from './lib/escrow.js';
import { openModel } from './lib/profile.js';

export { handleSummary } from './lib/summary.js';

const API_KEY = key('API_KEY');
const ASSET_ID = required('ASSET_ID');
const maker = new Client(API_KEY);
const checker = new Client(key('CHECKER_API_KEY'));

export const options = openModel('approvals', {
  rate: 20,
  length: '1m',
  endpoints: [CREATE_POSITION, TRANSITION, APPROVE],
  floor: { name: 'approvals executed', metric: 'approvals_executed' },
});

export function setup() {
  preflight(API_KEY, ASSET_ID);
  checker.probe('/me/inbox?limit=1'); // It ends the run where the key is not valid.
}

export default function () {
  const created = createPosition(maker, claim(ASSET_ID));
  if (created.outcome !== 'ok' || transition(maker, created.id, 'FUNDED').outcome !== 'ok') {
    return;
  }

  const asked = askForRelease(maker, created.id);
  if (asked.outcome === 'ok') {
    abort('no approval needed: the institution has no approval rule for such a release');
  }
  if (asked.outcome === 'waiting') {
    approve(checker, asked);
  }
}
