// An institution sets itself up: it creates templates of every code that it may use,
// and assets of each template.

import exec from 'k6/execution';
import { Client } from './lib/client.js';
import { key } from './lib/config.js';
import {
  CREATE_ASSET,
  CREATE_TEMPLATE,
  createAsset,
  createTemplate,
  listAssets,
  LIST_ASSETS,
  possibleTemplates,
  preflight,
} from './lib/escrow.js';
import { openModel } from './lib/profile.js';

export { handleSummary } from './lib/summary.js';

const API_KEY = key('API_KEY');
const client = new Client(API_KEY);

const ASSETS_PER_TEMPLATE = 3;

export const options = openModel('templates-and-assets', {
  rate: 10,
  length: '1m',
  seconds: 5,
  endpoints: [CREATE_TEMPLATE, CREATE_ASSET, LIST_ASSETS],
  floor: { name: 'assets created', metric: 'assets_created' },
});

export function setup() {
  preflight(API_KEY);
  return possibleTemplates(client);
}

export default function (templates) {
  const iteration = exec.scenario.iterationInTest;
  const template = createTemplate(client, templates[iteration % templates.length]);
  if (template.outcome !== 'ok') {
    return;
  }
  for (let i = 1; i <= ASSETS_PER_TEMPLATE; i++) {
    createAsset(client, template.id, `Load test ${iteration}, lot ${i}`);
  }
  listAssets(client, `templateId=${template.id}`);
}
