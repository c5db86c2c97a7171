// The switch of data set and protocol, and the table of scores.

function drawSwitch() {
  if (!views.length) return;
  const sets = viewsOf(protocol()).map((view) => [view.id, view.label]);
  if (sets.length > 1) sets.push([ALL + protocol(), 'All']);
  const goTo = (view) => {
    Object.assign(state, { view, page: 0, picture: null });
    drawAll();
  };
  const toProtocol = (name) => {
    const [from] = shownViews();
    const among = viewsOf(name);
    const same = among.find((one) => one.label === from.label) || among.find((one) => one.dataset === from.dataset);
    goTo(several() ? ALL + name : (same || among[0]).id);
  };
  redraw(
    at('switch'),
    choice('Data set', 'view', sets, state.view, goTo),
    choice('Protocol', 'protocol', protocols.map((name) => [name, name]), protocol(), toProtocol),
  );
  for (const chosen of at('switch').querySelectorAll('input:checked')) { // a narrow screen does not show all at once
    const options = chosen.closest('.options');
    const gap = chosen.getBoundingClientRect().left - options.getBoundingClientRect().left;
    options.scrollLeft += gap - options.clientWidth / 3;
  }
}

// ---------------------------------------------------------------------------------------------------------- the scores

// What a column shows and is sorted by: a score of a view.
function scoreColumn(view, score) {
  const cells = new Map();
  for (const { name } of methods) {
    const { values, intervals } = result(view.id, name) || {};
    if (known(values?.[score])) cells.set(name, { value: values[score], interval: intervals?.[score] });
  }
  const all = [...cells.values()];
  const values = all.map((cell) => cell.value);
  const ends = all.flatMap((cell) => cell.interval || [cell.value]);
  return {
    key: several() ? `${view.id}:${score}` : score,
    view,
    score,
    cells,
    value: (name) => cells.get(name)?.value,
    low: Math.min(...ends),
    high: Math.max(...ends),
    best: figure(lower(score) ? Math.min(...values) : Math.max(...values)), // as printed: equal digits are marked alike
    test: comparisons.find((one) => one.view === view.id && one.score === score),
  };
}

function drawScores() {
  const section = at('scores');
  if (!scores.length || !views.length) return redraw(section);
  const shown = shownViews();
  const table = shown.flatMap((view) => chosenScores().map((score) => scoreColumn(view, score)))
    .filter((column) => column.cells.size);
  const here = scores.filter((one) => shown.some((view) => view.id === one.view));
  const timed = here.filter((one) => known(one.seconds_per_picture));
  const seconds = (name) => median(timed.filter((one) => one.method === name).map((one) => one.seconds_per_picture));
  const timing = timed.length > 0;
  const gaps = here.some((one) => one.pictures !== one.of);

  const sortable = [...table, { key: 'method', value: (name) => name }];
  if (timing) sortable.push({ key: 'seconds', score: 'seconds', value: seconds });
  const by = sortable.find((column) => column.key === state.sort) || sortable[0];
  const ascending = (by.key === 'method' || lower(by.score)) !== state.reversed;
  const rows = ordered(
    methods.filter(({ name }) => here.some((one) => one.method === name)),
    ({ name }) => by.value(name),
    !ascending,
  );

  function head(key, text, { better, title, begins } = {}) {
    const sorted = key === by.key;
    const sort = () => {
      Object.assign(state, { sort: key, reversed: sorted && !state.reversed });
      write();
      drawScores();
    };
    return h(
      begins ? 'th.begins' : 'th',
      { scope: 'col', 'aria-sort': sorted ? (ascending ? 'ascending' : 'descending') : 'none' },
      h(
        'button',
        { type: 'button', 'data-focus': `sort:${key}`, title, onclick: sort },
        text,
        better && h('span.better', { 'aria-hidden': 'true' }, better),
        h('span.arrow', { 'aria-hidden': 'true' }, sorted && (ascending ? '▲' : '▼')),
      ),
    );
  }

  const begins = (column) => several() && table.find((one) => one.view === column.view) === column;
  const groups = several() && [
    h('td'),
    shown.map((view) => {
      const colspan = table.filter((column) => column.view === view).length;
      return colspan > 0 &&
        h('th.set', { scope: 'colgroup', colspan }, view.label, h('span.kind', pictures(view.pictures)));
    }),
    timing && h('td'),
    gaps && h('td'),
  ];
  const heads = [
    head('method', 'Method'),
    table.map((column) => head(column.key, label(column.score), { ...meaning(column.score), begins: begins(column) })),
    timing && head('seconds', 'Time per picture', { better: '↓', title: 'median over pictures, scoring not counted' }),
    gaps && columnHead('Scored'),
  ];
  const row = ({ name, kind, parameters }) =>
    h(
      'tr',
      { 'data-method': name },
      rowHead(
        h('span.name', name),
        h('span.kind', KINDS[kind] || kind, parameters && `, ${size(parameters)} parameters`),
        resizings(here.filter((one) => one.method === name)).map((text) => h('span.kind', text)),
      ),
      table.map((column) => scoreCell(column, name, begins(column))),
      timing && timeCell(timed.filter((one) => one.method === name), seconds(name)),
      gaps && coverageCell(here.filter((one) => one.method === name)),
    );
  redraw(
    section,
    h('h2', { id: 'scores-title' }, 'Scores'),
    scoresCaption(shown, table),
    chooser(),
    grid(several() ? 'scores.wide' : 'scores', 'Scores', [groups, heads].filter(Boolean), rows.map(row)),
    findings(table.filter((column) => column.test)),
  );
}

function meaning(score) {
  const better = lower(score) ? 'lower' : 'higher';
  return { better: lower(score) ? '↓' : '↑', title: `${LABELS.get(score)?.meaning ?? label(score)}; ${better} is better` };
}

function scoreCell({ cells, best, test, low, high }, name, begins) {
  const found = cells.get(name);
  const selector = begins ? 'td.score.begins' : 'td.score';
  if (!found) return h(`${selector}.absent`, '–');
  const { value, interval } = found;
  const open = test && !test.significant && (test.first === name || test.second === name);
  return h(
    figure(value) === best ? `${selector}.best` : selector,
    h(
      'span.value',
      figure(value),
      open && h('abbr.open', { title: `${test.first} is not significantly better than ${test.second}` }, '≈'),
    ),
    interval && [h('span.interval', range(interval)), whisker(value, interval, low, high)],
  );
}

// The interval on its column's scale, and the figure within it.
function whisker(value, [from, to], low, high) {
  if (low === high) return null;
  const share = (place) => `${(100 * place) / (high - low)}%`;
  const [bar, dot] = [h('i'), h('b')];
  bar.style.left = share(from - low);
  bar.style.right = share(high - to);
  dot.style.left = share(value - low);
  return h('span.whisker', { 'aria-hidden': 'true' }, bar, dot);
}

function timeCell(timed, seconds) {
  const devices = [...new Set(timed.map((one) => one.device).filter(Boolean))];
  return h('td.time', h('span.value', duration(seconds)), devices.length > 0 && h('span.interval', devices.join(', ')));
}

// What was done to a method's maps that were not of their masks' size.
const resizings = (here) => [...new Set(here.map((one) => one.resized).filter(Boolean))];

function coverageCell(here) {
  return h(
    'td.coverage',
    here.map((one) =>
      h(
        one.pictures === one.of ? 'span.value' : 'span.value.partial',
        several() && `${views.find((view) => view.id === one.view).label} `,
        `${count(one.pictures)} of ${count(one.of)}`,
      )
    ),
  );
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  if (!sorted.length) return undefined;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function scoresCaption(shown, table) {
  const [one] = shown;
  return h(
    'p.lead',
    several()
      ? `${shown.length} data sets, protocol ${protocol()}. `
      : `${one.label}, ${pictures(one.pictures)}, protocol ${one.protocol}. `,
    !several() && one.note && `${asSentence(one.note)} `,
    table.some((column) => [...column.cells.values()].some((cell) => cell.interval)) &&
      `Below each figure stands its ${percent(confidence)} bootstrap interval over pictures; ` +
        'the bars of a column share one scale. ',
    'The best of a column is set in bold.',
  );
}

// Which scores are shown: a box for each that there is.
function chooser() {
  if (offered.length < 2) return null;
  const place = (score) => (usualScores.includes(score) ? usualScores : [...usualScores, ...offered]).indexOf(score);
  const toggle = (score) => {
    const before = chosenScores();
    const after = before.includes(score) ? before.filter((one) => one !== score) : [...before, score];
    if (after.length) state.scores = after.sort((a, b) => place(a) - place(b));
    write();
    drawScores();
  };
  const box = (score) =>
    h('input', {
      type: 'checkbox',
      value: score,
      checked: chosenScores().includes(score),
      'data-focus': `column:${score}`,
      onchange: () => toggle(score),
    });
  return h(
    'fieldset.choice.many',
    h('legend', 'Columns'),
    h(
      'div.options',
      offered.map((score) => h('label', { title: LABELS.get(score)?.meaning }, box(score), h('span', label(score)))),
    ),
  );
}

// What the mark means, and every test of the columns shown.
function findings(tested) {
  if (!tested.length) return null;
  const heads = ['Score', 'Best', 'Next', 'Difference', `${percent(confidence)} interval`, 'p', 'p, Holm', ''];
  const head = (text, i) => (text ? h(i < 3 ? 'th.who' : 'th', { scope: 'col' }, text) : h('td'));
  const row = ({ view, score, test }) =>
    h(
      test.significant ? 'tr.significant' : 'tr',
      several() && rowHead(view.label),
      several() ? h('td.who', label(score)) : rowHead(label(score)),
      h('td.who', test.first),
      h('td.who', test.second),
      h('td', figure(test.difference)),
      h('td', known(test.low) ? `${figure(test.low)} to ${figure(test.high)}` : '–'),
      h('td', probability(test.p)),
      h('td', probability(test.p_holm)),
      h('td.verdict', test.significant ? 'significant' : '≈ may be chance'),
    );
  return h(
    'div.findings',
    h('h3', 'Is the best better than the next?'),
    h(
      'p.fine',
      tested.every(({ test }) => test.significant)
        ? 'In each of these columns the best is significantly better than the next. '
        : 'Where ≈ stands, the best is not significantly better than the next: ' +
          'chance alone could have put either of them first. ',
      'The test is paired, picture by picture. It speaks of the choice of pictures, not of another training run.',
    ),
    grid(
      'tests',
      'Tests of the best against the next',
      [[several() && columnHead('Data set'), heads.map(head)]],
      tested.map(row),
    ),
  );
}
