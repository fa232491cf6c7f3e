// An example of a well-behaved client of the API: it retries what can be retried, gives
// each write an Idempotency-Key so that a retry does nothing twice, and measures the time
// for which its user waits.

import http from 'k6/http';
import exec from 'k6/execution';
import { check, sleep } from 'k6';
import { Counter, Rate, Trend } from 'k6/metrics';
import { API_URL, MAX_RETRIES, OPERATIONS_LOG, RUN_ID } from './config.js';

// The duration of an operation from its start to its last answer, with all attempts and
// the waits between them. http_req_duration has the durations of single attempts.
const operationDuration = new Trend('operation_duration', true);

// Whether an operation or a read ended otherwise than it should have.
const operationsFailed = new Rate('operations_failed');

// How writes ended: carried out, kept as an approval that waits for others, refused, or with an
// unknown outcome.
const operations = {
  ok: new Counter('operations_ok'),
  waiting: new Counter('operations_waiting'),
  refused: new Counter('operations_refused'),
  unknown: new Counter('operations_unknown'),
};

// Writes that an earlier attempt had already carried out, although its answer did not
// arrive. k6 itself also retries a request with an Idempotency-Key when the server has
// closed the connection.
const operationsReplayed = new Counter('operations_replayed');

const retries = {
  throttled: new Counter('retries_throttled'), // 429 and 503
  connection: new Counter('retries_connection'), // no answer, 502 and 504
};

const authenticationFailures = new Counter('authentication_failures');

// Writes that were not carried out because an approval rule of the institution has them wait for
// others, although the script did not ask for an approval.
const unexpectedApprovals = new Counter('unexpected_approvals');

// A policy or template of the institution may refuse a position, with 422 and a code that
// says which rule it was. That is the service at work, not a failure.
const policyRejections = new Counter('policy_rejections');
const POLICY_CODE = /^(policy|template)_/;

// A request without an answer within this time counts as one without an answer.
const TIMEOUT_MS = 30 * 1000;

// The code of k6's error for it.
const TIMEOUT_CODE = 1050;

// The waits between attempts, in seconds: the first, the longest, and the longest
// Retry-After that the client obeys.
const FIRST_WAIT = 0.2;
const LONGEST_WAIT = 10;
const LONGEST_RETRY_AFTER = 60;

// The number of operations that this virtual user has started.
let begun = 0;

// Client sends requests with one API key.
export class Client {
  constructor(apiKey) {
    this.headers = { 'Content-Type': 'application/json', 'X-API-KEY': apiKey };
  }

  // write carries out an operation:
  //
  //   kind      its name in metrics and in the log
  //   endpoint  its method and path, with {id} in place of ids
  //   path      the path of the request
  //   body      returns the body, given the operation's id
  //   subject   the id of the resource that it changes, if that exists already
  //   headers   further headers
  //   check     the name of the check that it ended as it should, which is
  //   status    with this status, 202 for one that is to wait for an approval, and
  //   holds     an answer for which this returns true, given the operation's id, or,
  //   mayBeRefused  if true, with a refusal by a policy or template
  //   refusal   { status, code } instead of status: the refusal that must come
  //
  // It returns { outcome, id, response }. The outcome is ok, waiting, refused or unknown; id is
  // that of the resource that was created or changed, or of the approval that waits.
  write(operation) {
    const { kind, endpoint, path, subject = '', status, holds, refusal, mayBeRefused = false } = operation;
    // The id is the idempotency key, which makes retries harmless, and the request id,
    // which the journal has: an entry with it proves that the operation was carried out.
    const operationID = `${RUN_ID}-${exec.vu.idInTest}-${++begun}`;
    log('begin', operationID, kind, subject);
    const { response, lastMs, ms, cutOff } = send('POST', path, JSON.stringify(operation.body(operationID)), {
      headers: Object.assign(
        { 'Idempotency-Key': operationID, 'X-Request-Id': operationID },
        this.headers,
        operation.headers,
      ),
      tags: { name: endpoint, operation: kind },
      expected: expectations(refusal ? [refusal.status] : mayBeRefused ? [status, 422] : [status]),
    });

    if (cutOff) {
      return { outcome: 'unknown', id: '', response };
    }

    const outcome = outcomeOf(response);
    const acknowledged = outcome === 'ok' || outcome === 'waiting';
    const code = acknowledged ? '' : member(response, 'code');
    const id = acknowledged ? member(response, 'id') : '';
    log('end', operationID, outcome, response.status, code, lastMs.toFixed(3), id, activeVUs());
    operations[outcome].add(1, { operation: kind });
    if (response.headers['Idempotent-Replayed']) {
      operationsReplayed.add(1, { operation: kind });
    }
    abortUnlessAuthenticated(response);
    if (outcome === 'waiting' && status !== 202) {
      abortOnApproval(endpoint, response);
    }

    const byPolicy = response.status === 422 && POLICY_CODE.test(code);
    if (byPolicy) {
      policyRejections.add(1, { operation: kind });
    }
    const passed = refusal
      ? outcome === 'refused' && response.status === refusal.status && code === refusal.code
      : (acknowledged && response.status === status && holds(response, operationID)) || (mayBeRefused && byPolicy);
    judge(kind, operation.check, passed, ms);
    return { outcome, id, response };
  }

  // read sends a GET request and returns { ok, response }. name is its name in metrics
  // and in the log.
  read({ name, endpoint, path }) {
    const { response, lastMs, ms, cutOff } = send('GET', path, null, {
      headers: this.headers,
      tags: { name: endpoint, operation: name },
      expected: expectations([200]),
    });
    if (cutOff) {
      return { ok: false, response };
    }
    log('read', name, response.status, lastMs.toFixed(3), activeVUs());
    abortUnlessAuthenticated(response);
    const ok = response.status === 200 && outcomeOf(response) === 'ok';
    judge(name, `${name} with 200`, ok, ms);
    return { ok, response };
  }

  // probe sends a GET request that no objective counts, for its status.
  probe(path) {
    const { response } = send('GET', path, null, { headers: this.headers, tags: { name: 'probe' }, expected: {} });
    abortUnlessAuthenticated(response);
    return response;
  }
}

// member returns a member of an answer's body, or '' where there is none.
export function member(response, name) {
  try {
    const value = response.json(name);
    return value === undefined || value === null ? '' : value;
  } catch (error) {
    return ''; // There is no body, or it is not JSON.
  }
}

// abort ends the run with one line and a specific exit code.
export function abort(message) {
  exec.test.abort(message);
}

// An invalid key stays invalid, so the rest of the run would be useless.
function abortUnlessAuthenticated(response) {
  if (response.status !== 401 && response.status !== 403) {
    return;
  }
  authenticationFailures.add(1);
  abort(`authentication failed: ${response.status} ${member(response, 'code')}: ${member(response, 'detail')}`);
}

// Nobody approves what the load asks for, and each further request would lie in somebody's inbox.
function abortOnApproval(endpoint, response) {
  unexpectedApprovals.add(1);
  const rule = member(response, 'rules.0.id');
  abort(
    `approval needed: ${endpoint} was answered with 202: the institution has approval rules, and by ${rule} ` +
      `it waits as ${member(response, 'id')}: use an institution without such a rule`,
  );
}

// send sends a request until its answer is final or the retries are used up. It returns
// the last answer, the duration of its attempt, the duration of all attempts, and whether k6
// cut it off.
function send(method, path, body, { headers, tags, expected }) {
  const began = Date.now();
  for (let retry = 0; ; retry++) {
    const last = retry === MAX_RETRIES;
    const attempted = Date.now();
    const response = http.request(method, `${API_URL}${path}`, body, {
      headers,
      tags,
      timeout: TIMEOUT_MS,
      // A redirection would send the key to another server.
      redirects: 0,
      responseCallback: last ? expected.last : expected.earlier,
    });
    const reason = retryReason(response);
    const cutOff = isCutOff(response, attempted);
    if (reason === undefined || last || cutOff) {
      const lastMs = isAnswer(response) ? response.timings.blocked + response.timings.duration : Date.now() - attempted;
      return { response, lastMs, ms: attempted - began + lastMs, cutOff };
    }
    retries[reason].add(1, { operation: tags.operation || tags.name });
    sleep(waitBefore(retry, response));
  }
}

// isAnswer reports whether an answer arrived completely. k6 gives an incomplete one the
// status 0.
function isAnswer(response) {
  return response.status !== 0;
}

// isCutOff reports whether k6 took back a request, sent at that time, because the load has
// ended. Nobody waits for an answer then, so it says nothing of the service: the operation has
// no end. At the end of a scenario k6 calls this a timeout, before its time.
function isCutOff(response, attempted) {
  const early = response.error_code === TIMEOUT_CODE && Date.now() - attempted < TIMEOUT_MS;
  return !isAnswer(response) && (early || /context cancell?ed/.test(response.error));
}

function retryReason(response) {
  if (!isAnswer(response) || response.status === 502 || response.status === 504) {
    return 'connection';
  }
  return response.status === 429 || response.status === 503 ? 'throttled' : undefined;
}

// waitBefore returns the seconds to wait before a retry. The random part keeps clients
// that failed at the same time from retrying at the same time.
function waitBefore(retry, response) {
  const asked = Number(response.headers['Retry-After']);
  if (retryReason(response) === 'throttled' && asked > 0) {
    return Math.min(asked, LONGEST_RETRY_AFTER) + Math.random() * FIRST_WAIT;
  }
  const wait = Math.min(FIRST_WAIT * 2 ** retry, LONGEST_WAIT);
  return wait / 2 + (Math.random() * wait) / 2;
}

// outcomeOf returns the outcome of an operation. After a 5xx, or without an answer, it is
// unknown whether it was carried out. 429 is not a refusal: it is about the rate, not
// about the operation.
function outcomeOf(response) {
  if (!isAnswer(response) || response.status === 429) {
    return 'unknown';
  }
  if (response.status === 202) {
    return 'waiting';
  }
  if (response.status >= 200 && response.status < 300) {
    return 'ok';
  }
  return response.status >= 400 && response.status < 500 ? 'refused' : 'unknown';
}

// http_req_failed counts the requests that finally failed. An attempt before the last one
// may also end without an answer (status 0) or with one that asks to retry: the counters
// of retries count these, and operation_duration includes their time. The last attempt
// must succeed.
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

// log writes a line for programs, with spaces between its fields and - for an empty
// field. It makes the answer to each operation comparable with the server's journals.
function log(...fields) {
  if (OPERATIONS_LOG) {
    // The answer of a proxy may contain anything.
    console.log(['EG', ...fields.map((field) => String(field).replace(/\s/g, '_') || '-')].join(' '));
  }
}
