// Printed figures, provenance; and the start.

function drawPrinted() {
  const { printed } = bench;
  if (!printed?.rows?.length) return redraw(at('printed'));
  const sets = [...new Set(printed.rows.flatMap((row) => Object.keys(row.values)))];
  const keys = [
    ...new Set(printed.rows.flatMap((row) => Object.values(row.values).flatMap((one) => Object.keys(one)))),
  ].sort((a, b) => rank(a) - rank(b));
  const best = (set, key) => {
    const values = printed.rows.map((row) => row.values[set]?.[key]).filter(known);
    return lower(key) ? Math.min(...values) : Math.max(...values);
  };
  const head = (key, i) =>
    h(i ? 'th' : 'th.begins', { scope: 'col' }, label(key), h('span.better', meaning(key).better));
  const cell = (row, set) => (key, i) => {
    const value = row.values[set]?.[key];
    return h(`td${i ? '' : '.begins'}${known(value) && value === best(set, key) ? '.best' : ''}`, figure(value));
  };
  redraw(
    at('printed'),
    h(
      'h2',
      { id: 'printed-title' },
      printed.label || 'Printed figures',
      ' ',
      h('span.badge', 'printed, not measured'),
    ),
    printed.note && h('p.lead', asSentence(printed.note)),
    grid(
      'reference',
      'Printed figures',
      [
        [h('td'), sets.map((set) => h('th.set', { scope: 'colgroup', colspan: keys.length }, set))],
        [columnHead('Method'), sets.map(() => keys.map(head))],
      ],
      printed.rows.map((row) => [rowHead(row.method), sets.map((set) => keys.map(cell(row, set)))]),
    ),
  );
}

function drawProvenance() {
  const facts = [];
  const fact = (name, ...content) => {
    if (content.flat().some((one) => one !== null && one !== undefined && one !== '' && one !== false)) {
      facts.push(h('dt', name), h('dd', ...content));
    }
  };
  if (provenance.command) {
    const code = h('code', provenance.command);
    const button = h('button', {
      type: 'button',
      class: 'quiet',
      onclick: () => copy(provenance.command, code, button),
    }, 'Copy');
    fact('Command', h('div.command', h('pre', { tabindex: '0' }, code), button));
  }
  const date = provenance.date && new Date(provenance.date);
  fact(
    'Date',
    date && !Number.isNaN(date.valueOf())
      ? h(
        'time',
        { datetime: provenance.date },
        `${date.toLocaleString('en-GB', { dateStyle: 'long', timeStyle: 'short', timeZone: 'UTC' })} UTC`,
      )
      : provenance.date,
    known(provenance.seconds) && `, took ${duration(provenance.seconds)}`,
  );
  fact(
    'Code',
    provenance.arn && `arn ${provenance.arn}`,
    provenance.commit && [', commit ', h('code', provenance.commit)],
  );
  for (const one of bench.protocols || []) {
    fact(
      `Protocol ${one.name}`,
      one.description.replace(`${one.name}: `, ''),
      one.source && h('span.fine.block', `Source: ${one.source}`),
    );
  }
  fact(
    'Coverage',
    provenance.coverage === 'intersect'
      ? 'intersect: methods were scored on the pictures that they have maps for; the table says how many'
      : provenance.coverage === 'strict'
      ? `strict: every method has a map of ${
        resizings(scores).length ? 'the right size, or resized to it,' : 'the right size'
      } for every picture, and no other`
      : provenance.coverage,
  );
  fact(
    'Intervals',
    provenance.resamples &&
      `${percent(confidence)} percentile bootstrap over pictures, ${
        count(provenance.resamples)
      } resamples, seed ${provenance.seed}`,
  );
  fact(
    'Overlap and warnings',
    (bench.warnings || []).length ? bench.warnings.map((one) => h('span.block', one)) : 'none reported',
  );
  fact('Machine', list(provenance.machine));
  fact('Versions', list(provenance.versions));
  const table = methods.length > 0 && grid(
    'sources',
    'Methods',
    [['Method', 'Kind', 'Source', 'Trained on', 'Parameters'].map((text) => columnHead(text))],
    methods.map(({ name, kind, source, trained_on: trained, parameters }) => [
      rowHead(name),
      h('td', KINDS[kind] || kind),
      h('td.source', source),
      h('td', trained || '–'),
      h('td', parameters ? count(parameters) : '–'),
    ]),
    'Methods',
  );
  if (!facts.length && !table) return;
  redraw(at('provenance'), h('h2', { id: 'provenance-title' }, 'Provenance'), h('dl', facts), table);
}

const list = (entries) =>
  Object.entries(entries || {}).map(([name, value]) => h('span.entry', h('span.fine', name), ` ${value}`));

async function copy(text, element, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
  } catch { // not allowed here: select it, so that one key does it
    getSelection().selectAllChildren(element);
    button.textContent = 'Selected';
  }
  setTimeout(() => {
    button.textContent = 'Copy';
  }, 2000);
}

// ------------------------------------------------------------------------------------------------------------- start

function drawAll() {
  write();
  drawSwitch();
  if (views.length) {
    drawScores();
    drawCurves();
    drawPictures();
    drawViewer();
  }
}

let width = innerWidth;
addEventListener('resize', () => {
  if (innerWidth === width) return;
  width = innerWidth;
  requestAnimationFrame(() => {
    for (const draw of redrawCharts) draw();
  });
});
addEventListener('hashchange', () => {
  read();
  drawAll();
});
read();
drawPrinted();
drawProvenance();
drawAll();
