// A client of the API as a good one is written: it repeats what can be repeated,
// gives each write an Idempotency-Key so that a repetition does nothing twice, and
// measures what its user waits for.

import http from 'k6/http';
import exec from 'k6/execution';
import { check, sleep } from 'k6';
import { Counter, Rate, Trend } from 'k6/metrics';
import { API_URL, MAX_RETRIES, OPERATIONS_LOG, RUN_ID } from './config.js';

// How long an operation took from its begin to its last answer, with all attempts
// and the waits between them. http_req_duration is about single attempts.
const operationDuration = new Trend('operation_duration', true);

// Whether an operation, or a read, ended in another way than it should have.
const operationsFailed = new Rate('operations_failed');

// How writes ended: carried out, refused for good, or nobody knows.
const operations = {
  ok: new Counter('operations_ok'),
  refused: new Counter('operations_refused'),
  unknown: new Counter('operations_unknown'),
};

// Writes whose answer was that of an earlier attempt: it had been carried out,
// although nothing was heard of it. k6 itself also repeats a request with an
// Idempotency-Key, where the connection turns out to have been closed.
const operationsReplayed = new Counter('operations_replayed');

const retries = {
  throttled: new Counter('retries_throttled'), // 429 and 503
  connection: new Counter('retries_connection'), // no answer, 502 and 504
};

const authenticationFailures = new Counter('authentication_failures');

// A policy or template of the institution may refuse a position: with 422, and a
// code that says which rule it was. That is the service at work.
const policyRejections = new Counter('policy_rejections');
const POLICY_CODE = /^(policy|template)_/;

// A request that hangs is given up, and counts as one without an answer.
const TIMEOUT = '30s';

// The waits between attempts, in seconds: the first, the longest, and the longest
// that a Retry-After is believed.
const FIRST_WAIT = 0.2;
const LONGEST_WAIT = 10;
const LONGEST_RETRY_AFTER = 60;

// How many operations this virtual user has begun.
let begun = 0;

// Client sends requests with one API key.
export class Client {
  constructor(apiKey) {
    this.headers = { 'Content-Type': 'application/json', 'X-API-KEY': apiKey };
  }

  // write carries out an operation:
  //
  //   kind      what it is, in metrics and in the log
  //   endpoint  its method and path, with {id} for what differs
  //   path      where it goes
  //   body      makes the body, given the operation's id
  //   subject   the id of what is changed, if there is something yet
  //   headers   more headers
  //   check     the name of the check whether it ended as it should:
  //   status    with this status,
  //   holds     and with an answer for which this holds, given the operation's id,
  //   mayBeRefused  or with a policy's or template's refusal
  //   refusal   { status, code }, in place of status: it is to be refused with that
  //
  // It returns { outcome, id, response }: ok, refused or unknown, and the id of
  // the resource that was made or changed.
  write(operation) {
    const { kind, endpoint, path, subject = '', status, holds, refusal, mayBeRefused = false } = operation;
    // The id is the key that makes repetitions harmless, and, as request id, also
    // stands in the journal: an entry that has it proves that it was carried out.
    const operationID = `${RUN_ID}-${exec.vu.idInTest}-${++begun}`;
    log('begin', operationID, kind, subject);
    const { response, lastMs, ms } = send('POST', path, JSON.stringify(operation.body(operationID)), {
      headers: Object.assign(
        { 'Idempotency-Key': operationID, 'X-Request-Id': operationID },
        this.headers,
        operation.headers,
      ),
      tags: { name: endpoint, operation: kind },
      expected: expectations(refusal ? [refusal.status] : mayBeRefused ? [status, 422] : [status]),
    });

    const outcome = outcomeOf(response);
    const code = outcome === 'ok' ? '' : member(response, 'code');
    const id = outcome === 'ok' ? member(response, 'id') : '';
    log('end', operationID, outcome, response.status, code, lastMs.toFixed(3), id, activeVUs());
    operations[outcome].add(1, { operation: kind });
    if (response.headers['Idempotent-Replayed']) {
      operationsReplayed.add(1, { operation: kind });
    }
    abortUnlessAuthenticated(response);

    const byPolicy = response.status === 422 && POLICY_CODE.test(code);
    if (byPolicy) {
      policyRejections.add(1, { operation: kind });
    }
    const passed = refusal
      ? outcome === 'refused' && response.status === refusal.status && code === refusal.code
      : (outcome === 'ok' && response.status === status && holds(response, operationID)) || (mayBeRefused && byPolicy);
    judge(kind, operation.check, passed, ms);
    return { outcome, id, response };
  }

  // read gets what is at a path, and returns { ok, response }. name stands for it
  // in metrics and in the log.
  read({ name, endpoint, path }) {
    const { response, lastMs, ms } = send('GET', path, null, {
      headers: this.headers,
      tags: { name: endpoint, operation: name },
      expected: expectations([200]),
    });
    log('read', name, response.status, lastMs.toFixed(3), activeVUs());
    abortUnlessAuthenticated(response);
    const ok = response.status === 200 && outcomeOf(response) === 'ok';
    judge(name, `${name} with 200`, ok, ms);
    return { ok, response };
  }

  // probe gets a path for the sake of its status; no objective counts it.
  probe(path) {
    const { response } = send('GET', path, null, { headers: this.headers, tags: { name: 'probe' }, expected: {} });
    abortUnlessAuthenticated(response);
    return response;
  }
}

// member is a member of an answer's body, or '' where it has none.
export function member(response, name) {
  try {
    const value = response.json(name);
    return value === undefined || value === null ? '' : value;
  } catch (error) {
    return ''; // There is no body, or it is no JSON.
  }
}

// abort ends the run with one line and an exit code of its own.
export function abort(message) {
  exec.test.abort(message);
}

// A key that is not valid will not become so: nothing of the run would be of use.
function abortUnlessAuthenticated(response) {
  if (response.status !== 401 && response.status !== 403) {
    return;
  }
  authenticationFailures.add(1);
  abort(`authentication failed: ${response.status} ${member(response, 'code')}: ${member(response, 'detail')}`);
}

// send sends a request until it has an answer that stays, or too often. It returns
// the last answer, how long that took, and how long all took.
function send(method, path, body, { headers, tags, expected }) {
  const began = Date.now();
  for (let retry = 0; ; retry++) {
    const last = retry === MAX_RETRIES;
    const attempted = Date.now();
    const response = http.request(method, `${API_URL}${path}`, body, {
      headers,
      tags,
      timeout: TIMEOUT,
      // A redirection would take the key to somewhere else.
      redirects: 0,
      responseCallback: last ? expected.last : expected.earlier,
    });
    const reason = retryReason(response);
    if (reason === undefined || last) {
      const lastMs = isAnswer(response) ? response.timings.blocked + response.timings.duration : Date.now() - attempted;
      return { response, lastMs, ms: attempted - began + lastMs };
    }
    retries[reason].add(1, { operation: tags.operation || tags.name });
    sleep(waitBefore(retry, response));
  }
}

// isAnswer reports whether an answer arrived whole; k6 gives one that broke off no
// status.
function isAnswer(response) {
  return response.status !== 0;
}

function retryReason(response) {
  if (!isAnswer(response) || response.status === 502 || response.status === 504) {
    return 'connection';
  }
  return response.status === 429 || response.status === 503 ? 'throttled' : undefined;
}

// waitBefore is how many seconds to wait before a repetition. The random part
// keeps clients that failed together from coming back together.
function waitBefore(retry, response) {
  const asked = Number(response.headers['Retry-After']);
  if (retryReason(response) === 'throttled' && asked > 0) {
    return Math.min(asked, LONGEST_RETRY_AFTER) + Math.random() * FIRST_WAIT;
  }
  const wait = Math.min(FIRST_WAIT * 2 ** retry, LONGEST_WAIT);
  return wait / 2 + (Math.random() * wait) / 2;
}

// outcomeOf is how an operation ended. After a 5xx, or without an answer, it may
// have been carried out or not. 429 is none of the refusals: it is about the rate,
// and not about the operation.
function outcomeOf(response) {
  if (!isAnswer(response) || response.status === 429) {
    return 'unknown';
  }
  if (response.status >= 200 && response.status < 300) {
    return 'ok';
  }
  return response.status >= 400 && response.status < 500 ? 'refused' : 'unknown';
}

// http_req_failed counts the requests that failed for good. An attempt that will
// be repeated may also end without an answer (status 0) or with one that says to
// come again: how often that was, the counters of retries tell, and how long it
// took, operation_duration. The last attempt has to succeed.
const RETRIED = [0, 429, 502, 503, 504];
const expectationsByStatus = {};

function expectations(statuses) {
  const key = statuses.join();
  if (!expectationsByStatus[key]) {
    expectationsByStatus[key] = {
      last: http.expectedStatuses(...statuses),
      earlier: http.expectedStatuses(...statuses, ...RETRIED),
    };
  }
  return expectationsByStatus[key];
}

function judge(operation, name, passed, ms) {
  check(null, { [name]: passed }, { operation });
  operationsFailed.add(!passed, { operation });
  operationDuration.add(ms, { operation });
}

function activeVUs() {
  return OPERATIONS_LOG ? exec.instance.vusActive : 0;
}

// log writes one line for a program to read, its fields separated by spaces and -
// for an empty one. What each operation was told can be compared with what the
// server has.
function log(...fields) {
  if (OPERATIONS_LOG) {
    // A proxy in between may answer with anything.
    console.log(['EG', ...fields.map((field) => String(field).replace(/\s/g, '_') || '-')].join(' '));
  }
}
