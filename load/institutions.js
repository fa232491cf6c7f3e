// Institutions join. The operator, with ROOT_API_KEY, creates each institution and its
// first key; the institution creates a template, an asset and a position, and funds
// the position. The server lets a key create 20 institutions and keys per second, in
// bursts of up to 100, so a RATE above 10 waits for that limit.

import exec from 'k6/execution';
import { Client, member } from './lib/client.js';
import { key } from './lib/config.js';
import {
  createAndFund,
  CREATE_INSTITUTION,
  CREATE_KEY,
  CREATE_POSITION,
  createAsset,
  createInstitution,
  createKey,
  createTemplate,
  possibleTemplates,
  preflight,
  TRANSITION,
} from './lib/escrow.js';
import { FUNDED } from './lib/objectives.js';
import { openModel } from './lib/profile.js';

export { handleSummary } from './lib/summary.js';

const ROOT_API_KEY = key('ROOT_API_KEY');
const root = new Client(ROOT_API_KEY);

export const options = openModel('institutions', {
  rate: 5,
  length: '1m',
  seconds: 7,
  endpoints: [CREATE_INSTITUTION, CREATE_KEY, CREATE_POSITION, TRANSITION],
  floor: FUNDED,
});

export function setup() {
  preflight(ROOT_API_KEY);
}

export default function () {
  const institution = createInstitution(root, `Load test ${exec.scenario.iterationInTest}`, ['US']);
  if (institution.outcome !== 'ok') {
    return;
  }
  const created = createKey(root, institution.id, 'load test');
  if (created.outcome !== 'ok') {
    return;
  }

  const client = new Client(member(created.response, 'apiKey'));
  const template = createTemplate(client, possibleTemplates(client)[0]);
  if (template.outcome !== 'ok') {
    return;
  }
  const asset = createAsset(client, template.id, 'Load test');
  if (asset.outcome === 'ok') {
    createAndFund(client, asset.id);
  }
}
