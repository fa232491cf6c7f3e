// The outcome of a run as text, as JUnit's XML and as an HTML page. The page needs no
// other file.

export function text(outcome) {
  const { profile, run, startedAt, durationSeconds, objectives, breakpoint } = outcome;
  const rows = objectives.map((objective) => [mark(objective), objective.name, measured(objective), bound(objective)]);
  const lines = [
    `${profile}: ${verdict(outcome)} (run ${run}, ${startedAt}, ${number(durationSeconds)} s)`,
    '',
    ...table(rows),
    '',
    ...table(numbers(outcome)),
  ];
  if (breakpoint) {
    lines.push('', ...table(stepRows(breakpoint)), '', kneeOf(breakpoint));
  }
  return `\n${lines.map((line) => `  ${line}`.trimEnd()).join('\n')}\n\n`;
}

export function junit({ profile, startedAt, durationSeconds, objectives }) {
  const failures = objectives.filter((objective) => !objective.ok).length;
  const skipped = objectives.filter((objective) => mark(objective) === '-').length;
  const counts = `tests="${objectives.length}" failures="${failures}" errors="0" skipped="${skipped}" time="${durationSeconds.toFixed(3)}"`;
  const cases = objectives.map((objective) => {
    const opening = `    <testcase classname="load.${escaped(profile)}" name="${escaped(objective.name)}"`;
    const message = escaped(`${measured(objective)}, has to be ${bound(objective)}`);
    switch (mark(objective)) {
      case 'ok':
        return `${opening}/>`;
      case '-':
        return `${opening}>\n      <skipped message="${message}"/>\n    </testcase>`;
      default:
        return `${opening}>\n      <failure message="${message}">${escaped(`${objective.metric}: ${objective.threshold}`)}</failure>\n    </testcase>`;
    }
  });
  return `<?xml version="1.0" encoding="UTF-8"?>
<testsuites ${counts}>
  <testsuite name="load ${escaped(profile)}" timestamp="${startedAt}" ${counts}>
${cases.join('\n')}
  </testsuite>
</testsuites>
`;
}

export function html(outcome) {
  const { profile, run, startedAt, durationSeconds, objectives, breakpoint } = outcome;
  const objectiveRows = objectives.map((objective) => [
    mark(objective),
    objective.name,
    measured(objective),
    bound(objective),
  ]);
  return `<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(profile)}: ${verdict(outcome)}</title>
<style>
  :root { color-scheme: light dark; }
  body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
  table { border-collapse: collapse; }
  th, td { border-bottom: 1px solid #8886; padding: 0.25rem 1.5rem 0.25rem 0; text-align: left; vertical-align: top; }
</style>
<h1>${escaped(profile)}: ${verdict(outcome)}</h1>
<p>Run ${escaped(run)}, began ${startedAt}, lasted ${number(durationSeconds)} s.</p>
<h2>Objectives</h2>
${htmlTable(['', 'objective', 'measured', 'has to be'], objectiveRows)}
<h2>Numbers</h2>
${htmlTable(['', ''], numbers(outcome))}
${breakpoint ? `<h2>Steps</h2>\n<p>${kneeOf(breakpoint)}</p>\n${htmlTable(...headed(stepRows(breakpoint)))}\n` : ''}</html>
`;
}

// mark returns an objective's verdict. An objective without measurements is not missed.
function mark({ ok, value }) {
  if (!ok) {
    return 'MISSED';
  }
  return value === null ? '-' : 'ok';
}

function verdict(outcome) {
  return outcome.passed ? 'passed' : 'FAILED';
}

// numbers returns the rows of counts and measurements.
function numbers({ throughput, latency, counts }) {
  return [
    [
      'operations',
      `${counts.operations}: ${counts.operationsOk} ok, ${counts.operationsWaiting} waiting for an approval, ` +
        `${counts.operationsRefused} refused, ${counts.operationsUnknown} unknown`,
    ],
    [
      'per second',
      `${number(throughput.operationsPerSecond)} operations, ${number(throughput.positionsFundedPerSecond)} positions funded`,
    ],
    [
      'positions',
      `${counts.positionsCreated} created, ${counts.positionsFunded} funded; ${counts.policyRejections} refused by policy or template`,
    ],
    [
      'latency',
      `${number(latency.avg)} ms on average, half within ${number(latency.p50)} ms, 95 % ${number(latency.p95)} ms, ` +
        `99 % ${number(latency.p99)} ms, 99.9 % ${number(latency.p999)} ms, all ${number(latency.max)} ms`,
    ],
    [
      'retries',
      `${counts.retriesThrottled} after 429 or 503, ${counts.retriesConnection} after a broken connection, 502 or 504; ` +
        `${counts.operationsReplayed} operations had been carried out before`,
    ],
    ['iterations', `${counts.iterations}, ${counts.droppedIterations} dropped`],
    ['requests', String(counts.requests)],
  ];
}

function stepRows({ steps }) {
  const rows = steps
    .filter((step) => step.reached)
    .map((step) => [
      String(step.rate),
      step.ok ? 'ok' : 'missed',
      number(step.fundedPerSecond),
      `${number(step.p95)} ms`,
      `${number(step.p99)} ms`,
    ]);
  return [['rate', '', 'funded per second', 'p95', 'p99'], ...rows];
}

function kneeOf({ knee, steps }) {
  if (steps.every((step) => step.ok)) {
    return `All objectives were reached up to the highest rate, ${knee} iterations per second.`;
  }
  return `The objectives were reached up to ${knee} iterations per second.`;
}

// measured formats an objective's value.
export function measured({ metric, threshold, value }) {
  if (value === null) {
    return 'nothing measured';
  }
  return quantity(metric, threshold, value);
}

// bound formats the bound of an objective's value, like < 300 ms.
export function bound({ metric, threshold }) {
  const [, comparison, limit] = /([<>=]+)(.+)$/.exec(threshold);
  const sign = { '==': '', '<=': '≤ ', '>=': '≥ ' }[comparison];
  return `${sign === undefined ? `${comparison} ` : sign}${quantity(metric, threshold, Number(limit))}`;
}

function quantity(metric, threshold, value) {
  if (metric === 'http_reqs') {
    return `${number(value)}/s`;
  }
  if (threshold.startsWith('rate')) {
    // Enough decimals to distinguish 99.95 % from 100 %.
    return `${Number((value * 100).toFixed(4))} %`;
  }
  return threshold.startsWith('count') ? String(value) : `${number(value)} ms`;
}

// number formats a value with three significant digits, or with all of the integer part
// where that has more.
function number(value) {
  return String(value >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
}

// table aligns the cells of rows in columns.
function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] + 2)).join(''));
}

function headed([head, ...rows]) {
  return [head, rows];
}

function htmlTable(head, rows) {
  const row = (cells, tag) => `<tr>${cells.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join('')}</tr>`;
  const headRow = head.some((cell) => cell !== '') ? [row(head, 'th')] : [];
  return `<table>\n${[...headRow, ...rows.map((cells) => row(cells, 'td'))].join('\n')}\n</table>`;
}

function escaped(value) {
  return value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
