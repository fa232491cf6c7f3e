// The shapes of load that scripts choose from. A closed model has a number of clients,
// each of which starts anew when it is done: a slow server slows them down and so gets
// less load. An open model has arrivals at a rate, like users who know nothing of each
// other. Objectives are judged by an open model.

import { checkUsed, duration, fail, given, integer, leastRate, stages } from './config.js';
import {
  dropped,
  failures,
  latency,
  least,
  objectives,
  SUMMARY_TREND_STATS,
  thresholds,
  unhindered,
} from './objectives.js';

// profile describes the run for the summary.
export const profile = { name: '', objectives: [], steps: [] };

// The bounds of the number of clients in an open model, unless VUS sets it. Each client
// costs k6 time and memory. A server that needs more of them for the rate is slower than
// the objectives allow.
const MIN_CLIENTS = 10;
const MAX_CLIENTS = 500;

// How long iterations of a step may continue after its end, in parallel with the next
// step.
const STEP_OVERLAP_MS = 10 * 1000;

// COMPARED is the load of the scripts that are compared with each other.
export const COMPARED = { rate: 200, length: '1m' };

function options(name, list, shape) {
  checkUsed(name);
  profile.name = name;
  profile.objectives = list;
  return Object.assign(
    { thresholds: thresholds(list), summaryTrendStats: SUMMARY_TREND_STATS, setupTimeout: '5m' },
    shape,
  );
}

// closedModel returns the options of a run in which the number of clients changes in
// stages or, with VUS or DURATION, stays the same.
export function closedModel(name, { stages: byDefault, endpoints, floor }) {
  const own = stages();
  const constant = given('VUS') !== '' || given('DURATION') !== '';
  if (own && constant) {
    fail('STAGES cannot be combined with VUS or DURATION');
  }
  const shape = constant
    ? { vus: integer('VUS', 50), duration: ms(duration('DURATION', '2m')) }
    : { stages: own || byDefault };
  return options(name, objectives({ endpoints, requestRate: leastRate(0), floor }), shape);
}

// openModel returns the options of a run in which iterations start at a rate per second,
// independently of earlier ones:
//
//   rate      the rate, unless RATE sets it
//   length    the duration of the run, unless DURATION sets it
//   shape     a list of [share of the length, share of the rate at its end]; without it,
//             the rate is constant. The targets of STAGES are rates
//   seconds   how long an iteration may take
//   requests  the least number of requests per second that must be answered, unless MIN_RPS
//             sets it or RATE or STAGES make the load another than the profile's own
export function openModel(name, { rate, length, shape, seconds = 2, requests = 0, endpoints, floor }) {
  const own = stages();
  const isOther = own !== undefined || given('RATE') !== '';
  if (own && (given('DURATION') !== '' || given('RATE') !== '')) {
    fail('STAGES cannot be combined with DURATION or RATE');
  }

  const full = integer('RATE', rate);
  const total = duration('DURATION', length);
  const ramp =
    own || (shape && shape.map(([share, of]) => ({ duration: ms(share * total), target: Math.round(of * full) })));
  const peak = ramp ? Math.max(...ramp.map((stage) => stage.target)) : full;
  const arrivals = ramp ? arrivalsOf(ramp) : (full * total) / 1000;
  const scenario = Object.assign(
    clients(peak, seconds),
    ramp
      ? { executor: 'ramping-arrival-rate', startRate: 0, timeUnit: '1s', stages: ramp }
      : { executor: 'constant-arrival-rate', rate: full, timeUnit: '1s', duration: ms(total) },
  );
  const requestRate = leastRate(isOther ? 0 : requests);
  return options(name, objectives({ endpoints, arrivals, requestRate, floor }), { scenarios: { [name]: scenario } });
}

// risingModel returns the options of a run whose rate rises in steps and which ends when a
// step misses an objective. Each step is judged separately: over the whole run, the many
// good answers of the early steps would hide the bad ones of the last.
export function risingModel(name, { rate, length, steps, seconds = 2, floor }) {
  if (given('STAGES') !== '') {
    fail('STAGES: this script rises to RATE in STEPS steps over DURATION');
  }
  for (const variable of ['MIN_RPS', 'MIN_CHECKS']) {
    if (given(variable) !== '') {
      fail(`${variable}: this script judges each step by its latencies, failures and dropped iterations`);
    }
  }

  const highest = integer('RATE', rate);
  const count = integer('STEPS', steps);
  const stepMs = duration('DURATION', length) / count;
  const scenarios = {};
  const list = [least(floor), ...unhindered()];
  const counted = {};
  for (let i = 0; i < count; i++) {
    const step = {
      name: `step_${String(i + 1).padStart(3, '0')}`,
      rate: Math.max(1, Math.round((highest * (i + 1)) / count)),
      seconds: stepMs / 1000,
      endsMs: (i + 1) * stepMs,
    };
    profile.steps.push(step);
    scenarios[step.name] = Object.assign(clients(step.rate, seconds), {
      executor: 'constant-arrival-rate',
      rate: step.rate,
      timeUnit: '1s',
      duration: ms(stepMs),
      startTime: ms(i * stepMs),
      gracefulStop: ms(Math.min(stepMs, STEP_OVERLAP_MS)),
    });

    // A step is judged from its middle on, when it has enough answers.
    list.push(
      ...stepObjectives(step).map((objective) =>
        Object.assign(objective, { step: step.name, abortAfter: (i + 0.5) * stepMs }),
      ),
    );
    // k6 counts by scenario only for a threshold.
    counted[`positions_funded{scenario:${step.name}}`] = ['count>=0'];
  }

  const shape = options(name, list, { scenarios });
  Object.assign(shape.thresholds, counted);
  return shape;
}

// stepObjectives returns the objectives of a step of a risingModel.
export function stepObjectives({ name, rate, seconds }) {
  const filter = `{scenario:${name}}`;
  return [
    failures(`operations at ${rate}/s`, filter),
    ...latency(`operations at ${rate}/s`, `operation_duration${filter}`),
    dropped(`iterations at ${rate}/s`, rate * seconds, filter),
  ];
}

// clients returns the number of clients that the rate needs when each iteration takes the
// given time.
function clients(rate, seconds) {
  const needed = Math.min(Math.max(Math.ceil(rate * seconds), MIN_CLIENTS), MAX_CLIENTS);
  const count = integer('VUS', needed);
  // All clients exist from the start: k6 drops iterations while it creates a client.
  return { preAllocatedVUs: count, maxVUs: count };
}

// arrivalsOf returns the number of iterations that start while the rate ramps through
// stages.
function arrivalsOf(ramp) {
  let from = 0;
  let sum = 0;
  for (const { duration: length, target } of ramp) {
    sum += ((from + target) / 2) * (parseFloat(length) / 1000);
    from = target;
  }
  return sum;
}

function ms(milliseconds) {
  return `${Math.round(milliseconds)}ms`;
}
