// Creates positions and funds them, with up to 50 clients for two minutes:
//
//   k6 run -e API_KEY=egk_… -e ASSET_ID=ast_… load/positions-k6.js
//   k6 run … -e VUS=100 -e DURATION=5m load/positions-k6.js
//   k6 run … -e STAGES=1m:20,2m:100,30s:0 load/positions-k6.js
//
// docs/load-testing.md explains where to get the key and the asset, the other
// variables, and the outcome.

import { sleep } from 'k6';
import { duration } from './lib/config.js';
import { everyday, iteration } from './lib/everyday.js';
import { closedModel } from './lib/profile.js';

export { setup } from './lib/everyday.js';
export { handleSummary } from './lib/summary.js';

const THINK_TIME = duration('THINK_TIME', '1s', 0) / 1000;

export const options = closedModel('positions-k6', {
  ...everyday,
  stages: [
    { duration: '30s', target: 10 },
    { duration: '1m', target: 50 },
    { duration: '30s', target: 0 },
  ],
});

export default function () {
  iteration();
  sleep(THINK_TIME);
}
