// Creates positions and funds them, with up to 50 clients for two minutes:
//
//   k6 run -e API_KEY=egk_… -e ASSET_ID=ast_… load/positions-k6.js
//
// docs/load-testing.md says where the two come from and how to read the outcome.

import http from 'k6/http';
import { check, sleep } from 'k6';

const API_URL = (__ENV.API_URL || 'http://localhost:4000').replace(/\/+$/, '');
const API_KEY = required('API_KEY');
const ASSET_ID = required('ASSET_ID');

function required(name) {
  if (!__ENV[name]) {
    throw new Error(`${name} env var is required`);
  }
  return __ENV[name];
}

// A policy or template of the institution may refuse the position: with 422, and
// a code that says which rule it was. That is the service at work.
const POLICY_CODE = /^(policy|template)_/;

export const options = {
  stages: [
    { duration: '30s', target: 10 },
    { duration: '1m', target: 50 },
    { duration: '30s', target: 0 },
  ],
  thresholds: {
    checks: ['rate>0.999'],
    http_req_failed: ['rate<0.001'],
    http_req_duration: ['p(95)<300', 'p(99)<1000'],
  },
};

// The name stands for the URL in metrics: each position has a URL of its own.
function params(name, expected) {
  return {
    headers: { 'Content-Type': 'application/json', 'X-API-KEY': API_KEY },
    tags: { name },
    // Which statuses do not count as http_req_failed.
    responseCallback: http.expectedStatuses(...expected),
  };
}

const CREATE = params('POST /positions', [201, 422]);
const TRANSITION = params('POST /positions/{id}/transition', [200]);

export default function () {
  const created = http.post(`${API_URL}/positions`, JSON.stringify({
    assetId: ASSET_ID,
    holderReference: `LOAD_TEST_${__VU}_${Date.now()}`,
    currency: 'USD',
    amount: 1000,
  }), CREATE);
  check(created, {
    '201 or 4xx policy': (r) => r.status === 201 || isPolicyRefusal(r),
  });

  if (created.status === 201) {
    const funded = http.post(`${API_URL}/positions/${created.json('id')}/transition`,
      JSON.stringify({ toState: 'FUNDED' }), TRANSITION);
    check(funded, {
      'funded with 200': (r) => r.status === 200 && r.json('state') === 'FUNDED',
    });
  }

  sleep(1);
}

function isPolicyRefusal(response) {
  return response.status === 422 && POLICY_CODE.test(response.json('code'));
}
