// The shapes of load that scripts choose from. A closed model has a number of
// clients, each of which begins anew when it is done: a slow server slows them, and
// so is asked for less. An open model has arrivals at a rate, as of users who know
// nothing of each other; where objectives are judged, it is this one.

import { duration, fail, given, integer, stages } from './config.js';
import {
  authenticated,
  dropped,
  failures,
  latency,
  least,
  objectives,
  SUMMARY_TREND_STATS,
  thresholds,
} from './objectives.js';

// profile is what the summary says of the run.
export const profile = { name: '', objectives: [], steps: [] };

// The clients of an open model, unless VUS says how many. Each takes k6 time to make
// and memory to keep, so there is an end to them: a server that needs more of them
// for the rate is slower than the objectives allow.
const LEAST_CLIENTS = 10;
const MOST_CLIENTS = 500;

// How long a step may go on after its end, when the next one has begun, to finish
// what is under way.
const STEP_OVERLAP_MS = 10 * 1000;

// COMPARED is the load of the scripts that are to be compared with each other.
export const COMPARED = { rate: 200, length: '1m' };

function options(name, list, shape) {
  profile.name = name;
  profile.objectives = list;
  return Object.assign(
    { thresholds: thresholds(list), summaryTrendStats: SUMMARY_TREND_STATS, setupTimeout: '5m' },
    shape,
  );
}

// closedModel is a run in which the number of clients goes through stages, or, with
// VUS or DURATION, stays the same.
export function closedModel(name, { stages: byDefault, endpoints, floor }) {
  const own = stages();
  const constant = given('VUS') !== '' || given('DURATION') !== '';
  if (own && constant) {
    fail('STAGES cannot be combined with VUS or DURATION');
  }
  const shape = constant
    ? { vus: integer('VUS', 50), duration: ms(duration('DURATION', '2m')) }
    : { stages: own || byDefault };
  return options(name, objectives({ endpoints, floor }), shape);
}

// openModel is a run in which iterations begin at a rate per second, whatever
// becomes of those before:
//
//   rate      the rate, unless RATE says otherwise
//   length    how long the run is, unless DURATION says otherwise
//   shape     a list of [share of the length, share of the rate to be reached by
//             its end]; the rate is always the same where it is left out. With
//             STAGES the targets are rates
//   seconds   how long an iteration may take
export function openModel(name, { rate, length, shape, seconds = 2, endpoints, floor }) {
  const own = stages();
  if (own && given('DURATION') !== '') {
    fail('STAGES cannot be combined with DURATION');
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
  return options(name, objectives({ endpoints, arrivals, floor }), { scenarios: { [name]: scenario } });
}

// risingModel is a run whose rate rises in steps until an objective is missed in
// one of them, which ends it. Each step is judged by itself: over the whole run,
// the many good answers of the early steps would hide the bad ones of the last.
export function risingModel(name, { rate, length, steps, seconds = 2, floor }) {
  if (given('STAGES') !== '') {
    fail('STAGES: this script rises to RATE in STEPS steps over DURATION');
  }
  const highest = integer('RATE', rate);
  const count = integer('STEPS', steps);
  const stepMs = duration('DURATION', length) / count;
  const scenarios = {};
  const list = [least(floor), authenticated()];
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
    // A step is judged from its middle on, when it has answers enough.
    list.push(
      ...stepObjectives(step).map((objective) =>
        Object.assign(objective, { step: step.name, abortAfter: (i + 0.5) * stepMs }),
      ),
    );
    // k6 counts by scenario only what a threshold asks for.
    counted[`positions_funded{scenario:${step.name}}`] = ['count>=0'];
  }
  const shape = options(name, list, { scenarios });
  Object.assign(shape.thresholds, counted);
  return shape;
}

// stepObjectives are what a step of a risingModel has to reach.
export function stepObjectives({ name, rate, seconds }) {
  const filter = `{scenario:${name}}`;
  return [
    failures(`operations at ${rate}/s`, filter),
    ...latency(`operations at ${rate}/s`, `operation_duration${filter}`),
    dropped(`iterations at ${rate}/s`, rate * seconds, filter),
  ];
}

// clients are as many as keep up the rate when each iteration takes the given time.
function clients(rate, seconds) {
  const needed = Math.min(Math.max(Math.ceil(rate * seconds), LEAST_CLIENTS), MOST_CLIENTS);
  const count = integer('VUS', needed);
  // All are there from the start: making one takes time, in which its iteration
  // would be dropped.
  return { preAllocatedVUs: count, maxVUs: count };
}

// arrivalsOf is how many iterations begin while the rate ramps through stages.
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
