// Creates positions and funds them, with up to 50 clients for two minutes. This file needs
// no other one: copy it, and change its load, its objectives and its two requests.
//
//   k6 run -e API_KEY=egk_… -e ASSET_ID=ast_… positions-k6.js
//   k6 run … --vus 100 --duration 5m positions-k6.js
//   k6 run … --stage 1m:20,2m:100,30s:0 positions-k6.js
//
// docs/load-testing.md explains where to get the key and the asset. The script users.js has
// the same load, repeats what a broken connection or a busy server lost, and is a profile of
// escrowgrid loadtest, which also looks whether everything is there exactly once.

import http from 'k6/http';
import exec from 'k6/execution';
import { check, sleep } from 'k6';
import { Counter } from 'k6/metrics';

const API_URL = (__ENV.API_URL || 'http://localhost:4000').replace(/\/+$/, '');
const API_KEY = required('API_KEY');
const ASSET_ID = required('ASSET_ID');

export const options = {
  stages: [
    { duration: '30s', target: 10 },
    { duration: '1m', target: 50 },
    { duration: '30s', target: 0 },
  ],
  thresholds: {
    checks: ['rate>0.999'],
    http_req_failed: ['rate<0.001'],
    http_req_duration: ['avg<300', 'p(95)<300', 'p(99)<1000'],
    // Every other objective is also met by a run that did nothing.
    positions_funded: ['count>0'],
  },
};

const positionsFunded = new Counter('positions_funded');

export default function () {
  const reference = `LOAD_TEST_${__VU}_${__ITER}_${Date.now()}`;

  const created = http.post(
    `${API_URL}/positions`,
    JSON.stringify({
      assetId: ASSET_ID,
      holderReference: reference,
      currency: 'USD',
      amount: '1000.00',
    }),
    // An institution's policy may refuse a position, with 422.
    request('POST /positions', `${reference}_create`, http.expectedStatuses(201, 422)),
  );
  check(created, { '201 or 422 policy': (r) => r.status === 201 || (r.status === 422 && isPolicy(r.json('code'))) });
  stopUnlessDone(created);

  if (created.status === 201) {
    const funded = http.post(
      `${API_URL}/positions/${created.json('id')}/transition`,
      JSON.stringify({
        toState: 'FUNDED',
        reason: 'load test funding',
      }),
      request('POST /positions/{id}/transition', `${reference}_fund`, http.expectedStatuses(200)),
    );
    stopUnlessDone(funded);
    check(funded, { 'funded with 200': (r) => r.status === 200 && r.json('state') === 'FUNDED' });
    positionsFunded.add(funded.status === 200 ? 1 : 0);
  }

  sleep(1);
}

// request returns what both requests have in common. A request that is sent again under its
// Idempotency-Key does nothing twice; name keeps k6 from measuring each position by itself.
function request(name, idempotencyKey, responseCallback) {
  return {
    headers: { 'Content-Type': 'application/json', 'X-API-KEY': API_KEY, 'Idempotency-Key': idempotencyKey },
    tags: { name },
    redirects: 0, // A redirection would send the key to another server.
    responseCallback,
  };
}

function isPolicy(code) {
  return /^(policy|template)_/.test(code);
}

// stopUnlessDone ends the run where the key is not valid, or an approval rule of the institution
// has everything wait for others: nothing that came after would mean anything.
function stopUnlessDone(response) {
  if (response.status === 401 || response.status === 403) {
    exec.test.abort(`authentication failed: ${response.status}`);
  }
  if (response.status === 202) {
    exec.test.abort(`approval needed: 202: the institution has approval rules, see ${response.headers.Location}`);
  }
}

function required(name) {
  if (!__ENV[name]) {
    throw `${name} env var is required`;
  }
  return __ENV[name];
}
