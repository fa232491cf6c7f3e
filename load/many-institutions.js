// The load of hot-institution.js, spread over many institutions. INSTITUTIONS lists
// them: [{"apiKey": "egk_…", "assetId": "ast_…"}, …]

import exec from 'k6/execution';
import { Client } from './lib/client.js';
import { fail, required } from './lib/config.js';
import { createAndFund, CREATE_POSITION, preflight, TRANSITION } from './lib/escrow.js';
import { FUNDED } from './lib/objectives.js';
import { COMPARED, openModel } from './lib/profile.js';

export { handleSummary } from './lib/summary.js';

const tenants = institutions().map(({ apiKey, assetId }) => ({ apiKey, assetID: assetId, client: new Client(apiKey) }));

function institutions() {
  const text = required('INSTITUTIONS');
  let list;
  try {
    list = JSON.parse(text);
  } catch (error) {
    list = undefined;
  }
  const isText = (value) => typeof value === 'string' && value !== '';
  if (
    !Array.isArray(list) ||
    list.length === 0 ||
    !list.every((one) => one && isText(one.apiKey) && isText(one.assetId))
  ) {
    // The value contains keys, so the message does not show it.
    fail('INSTITUTIONS is not a list like [{"apiKey": "egk_…", "assetId": "ast_…"}]');
  }
  return list;
}

export const options = openModel('many-institutions', {
  ...COMPARED,
  endpoints: [CREATE_POSITION, TRANSITION],
  floor: FUNDED,
});

export function setup() {
  for (const { apiKey, assetID } of tenants) {
    preflight(apiKey, assetID);
  }
}

export default function () {
  const { client, assetID } = tenants[exec.scenario.iterationInTest % tenants.length];
  createAndFund(client, assetID);
}
