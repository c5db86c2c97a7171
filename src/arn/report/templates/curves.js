// Precision and recall, and another curve against the threshold; all charts of a data set share one cursor.

function drawCurves() {
  const section = at('curves');
  redrawCharts = [];
  const drawn = shownViews().filter((view) => methods.some(({ name }) => curvesOf(view.id, name)));
  if (!drawn.length) return redraw(section);
  const has = (curve) => drawn.some((view) => methods.some(({ name }) => curvesOf(view.id, name)?.[curve]));
  const there = CURVES.filter(({ name }) => has(name));
  redraw(
    section,
    h(
      'div.heading',
      h('h2', { id: 'curves-title' }, 'Curves'),
      there.length > 1 &&
        choice('Against threshold', 'curve', there.map((one) => [one.key, one.meaning]), state.second, (second) => {
          state.second = second;
          write();
          drawCurves();
        }),
    ),
    h(
      'p.lead',
      'Point at a curve, or focus a chart and use the arrow keys, to read all methods at one threshold. ',
      'Thin lines join points of equal F (β² = 0.3).',
    ),
    drawn.map(charts),
  );
  for (const draw of redrawCharts) draw();
}

let redrawCharts = [];

function charts(view) {
  const drawn = methods.map(({ name }) => ({ name, curves: curvesOf(view.id, name) })).filter((line) => line.curves);
  const has = (curve) => drawn.some((line) => line.curves[curve]);
  const there = CURVES.filter(({ name }) => has(name));
  const chosen = there.find(({ key }) => key === state.second) || there[0];
  const second = chosen?.name;
  const lines = ordered(drawn, ({ curves }) => curves[second]?.[peak(curves)] ?? null, chosen?.higher);
  const plots = [];
  const boxes = [];
  let cursor = null; // an index into the thresholds

  const pr = has('precision') && {
    title: 'Precision and recall',
    x: 'Recall',
    y: 'Precision',
    domain: [0, 1],
    iso: true,
    of: (curves) => curves.precision && curves.recall && [curves.recall, curves.precision],
  };
  const against = chosen && {
    title: `${chosen.meaning} against threshold`,
    x: 'Threshold',
    y: chosen.meaning,
    domain: [0, 255],
    of: (curves) => curves[second] && [thresholds(curves), curves[second]],
  };
  for (const kind of [pr, against].filter(Boolean)) {
    const box = h('div.chart', {
      role: 'slider',
      tabindex: '0',
      'aria-label': `${kind.title}, ${view.label}: threshold`,
      'aria-valuemin': '0',
      'aria-valuemax': '255',
      'data-focus': `chart:${view.id}:${kind.x}`,
    });
    const plot = { kind, box, view };
    for (const kind of ['pointermove', 'pointerdown']) {
      box.addEventListener(kind, (event) => move(nearest(plot, event)));
    }
    box.addEventListener('pointerleave', () => {
      if (document.activeElement !== box) move(null);
    });
    box.addEventListener('blur', () => move(null));
    box.addEventListener('keydown', (event) => {
      const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 16, PageDown: -16 };
      const now = cursor === null ? 128 : threshold(cursor);
      let to = steps[event.key] ? (cursor === null ? now : now + steps[event.key]) : { Home: 0, End: 255 }[event.key];
      if (event.key === 'Escape') to = null;
      if (to === undefined) return;
      event.preventDefault();
      move(to === null ? null : index(Math.min(255, Math.max(0, to))));
    });
    plots.push(plot);
    boxes.push(h('figure', h('figcaption', kind.title), box));
  }
  const moment = columnHead('Threshold');
  const columns = [['precision', 'Precision'], ['recall', 'Recall']].filter(([name]) => has(name))
    .concat((several() ? there.filter((one) => one === chosen) : there).map(({ name, text }) => [name, text]));
  const legend = grid(
    'legend',
    `Curves of ${view.label} at a threshold`,
    [[columnHead('Method'), moment, columns.map(([, text]) => columnHead(text))]],
    [],
  );
  const values = legend.querySelector('tbody');

  const visible = () => lines.filter((line) => !state.hidden.has(line.name));
  const thresholdsOf = thresholds(lines[0].curves);
  const threshold = (place) => thresholdsOf[place];
  const index = (level) => thresholdsOf.indexOf(level);

  function move(to) {
    if (to === cursor) return;
    cursor = to;
    for (const plot of plots) mark(plot);
    readout();
  }

  // The point of a curve that is nearest to the pointer, as an index into the thresholds.
  function nearest(plot, event) {
    const bounds = plot.box.getBoundingClientRect();
    const [px, py] = [event.clientX - bounds.left, event.clientY - bounds.top];
    if (!plot.kind.iso) return index(Math.round(Math.min(255, Math.max(0, plot.invert(px)))));
    let [best, place] = [Infinity, null];
    for (const line of visible()) {
      const points = plot.kind.of(line.curves);
      if (!points) continue;
      for (let i = 0; i < points[0].length; i += 1) {
        const far = (plot.x(points[0][i]) - px) ** 2 + (plot.y(points[1][i]) - py) ** 2;
        if (far < best) [best, place] = [far, i];
      }
    }
    return place;
  }

  function peak(curves) {
    const curve = curves[second] || [];
    const better = (a, b) => (chosen.higher ? a > b : a < b);
    return curve.reduce((best, value, i) => (better(value, curve[best]) ? i : best), 0);
  }

  // All methods at the cursor, or each at its own best threshold.
  function readout() {
    values.replaceChildren(...lines.map((line) => {
      const place = cursor ?? peak(line.curves);
      const hidden = state.hidden.has(line.name);
      return h(
        hidden ? 'tr.hidden-line' : 'tr',
        rowHead(key(line.name, hidden)),
        h('td', String(threshold(place))),
        columns.map(([name]) => h('td', figure(line.curves[name]?.[place]))),
      );
    }));
    const best = chosen?.text;
    const ofBest = several() ? `Best ${best} at` : `Threshold of best ${best}`;
    moment.textContent = cursor !== null || !best ? 'Threshold' : ofBest;
  }

  function key(name, hidden) {
    const id = `line:${view.id}:${name}`;
    const toggle = () => {
      if (hidden) state.hidden.delete(name);
      else state.hidden.add(name);
      write();
      for (const draw of redrawCharts) draw();
      focusOn(at('curves'), id);
    };
    const told = { 'aria-pressed': String(!hidden), 'data-focus': id, title: hidden ? 'show' : 'hide' };
    return h('button.key', { type: 'button', ...told, onclick: toggle }, swatch(name), name);
  }

  function draw() {
    for (const plot of plots) drawPlot(plot, lines, visible(), peak);
    for (const plot of plots) mark(plot);
    readout();
  }

  function mark({ kind, box, cursor: group, x, y, top, bottom }) {
    const drawn = visible().filter((line) => kind.of(line.curves));
    const level = cursor === null ? null : threshold(cursor);
    const point = (line) => kind.of(line.curves).map((values) => values[cursor]);
    group.replaceChildren();
    box.setAttribute('aria-valuenow', String(level ?? 128));
    box.setAttribute('aria-valuetext', 'none chosen');
    if (level === null) return;
    if (!kind.iso) group.append(svg('line.hair', { x1: x(level), x2: x(level), y1: top, y2: bottom }));
    for (const line of drawn) {
      const [px, py] = point(line);
      group.append(svg(`circle.spot.${tone.get(line.name)[0]}`, { cx: x(px), cy: y(py), r: 5 }));
    }
    const told = drawn.map((line) => {
      const [px, py] = point(line).map((value) => figure(value, 3));
      return `${line.name} ${kind.iso ? `precision ${py}, recall ${px}` : py}`;
    });
    box.setAttribute('aria-valuetext', `${level}: ${told.join('; ')}`);
  }

  redrawCharts.push(draw);
  return h(
    'div',
    { class: several() ? 'view compact' : 'view' },
    several() && h('h3', view.label),
    h('div.pair', boxes, several() && legend),
    !several() && legend,
  );
}

const thresholds = (curves) => curves.thresholds || Array.from({ length: 256 }, (_, i) => 255 - i);

function swatch(name) {
  const [className, dash] = tone.get(name);
  return svg(
    'svg.swatch',
    { width: 34, height: 10, 'aria-hidden': 'true' },
    svg('line', { class: className, x1: 1, x2: 33, y1: 5, y2: 5, 'stroke-dasharray': dash || null }),
  );
}

function drawPlot(plot, lines, visible, peak) {
  const { kind, box, view } = plot;
  const width = Math.max(260, Math.round(box.clientWidth || 520));
  const height = Math.round(Math.min(420, Math.max(240, width * 0.72)));
  const [left, right, top, bottom] = [46, width - 14, 12, height - 42];
  // The scale is that of all methods, shown or not: curves stay where they are when one is switched off. It leaves
  // the lowest fortieth of the points out, so that the collapse at the ends does not squeeze the rest.
  const all = lines.flatMap((line) => kind.of(line.curves)?.[1] || []).filter(known).sort((a, b) => a - b);
  const floor = Math.max(0, Math.floor(10 * (all[Math.floor(all.length / 40)] ?? 0) - 0.5) / 10);
  const [x0, x1] = kind.domain;
  plot.x = (value) => left + ((value - x0) / (x1 - x0)) * (right - left);
  plot.y = (value) => bottom - ((value - floor) / (1 - floor)) * (bottom - top);
  plot.invert = (px) => x0 + ((px - left) / (right - left)) * (x1 - x0);
  Object.assign(plot, { top, bottom });
  const clip = `clip-${views.indexOf(view)}-${kind.iso ? 'pr' : 'against'}`;
  const xTicks = kind.iso ? [0, 0.2, 0.4, 0.6, 0.8, 1] : [0, 51, 102, 153, 204, 255];
  const step = (1 - floor) > 0.61 ? 0.2 : 0.1;
  const yTicks = [];
  for (let tick = Math.ceil(floor / step - 1e-9); tick * step < 1.001; tick += 1) {
    yTicks.push(Math.round(10 * tick * step) / 10);
  }
  const short = (value) => (Number.isInteger(value) ? String(value) : figure(value, 1));
  const path = (xs, ys) =>
    `M${xs.map((value, i) => `${plot.x(value).toFixed(1)} ${plot.y(ys[i]).toFixed(1)}`).join('L')}`;

  const iso = [];
  for (const f of kind.iso ? [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] : []) {
    // Along a line of equal F precision falls with recall: from where precision is 1 to where recall is.
    const from = (BETA2 * f) / (1 + BETA2 - f);
    const points = [];
    for (let i = 0; i <= 60; i += 1) {
      const r = from + ((1 - from) * i) / 60;
      const p = (f * r) / ((1 + BETA2) * r - BETA2 * f);
      if (p > 0 && p <= 1.0001) points.push([r, p]);
    }
    const end = points.at(-1);
    if (!end || end[1] < floor) continue;
    iso.push(
      svg('path.iso', { d: path(points.map(([r]) => r), points.map(([, p]) => p)) }),
      svg('text.iso', { x: right - 4, y: plot.y(end[1]) - 4, 'text-anchor': 'end' }, `F ${figure(f, 1)}`),
    );
  }

  plot.cursor = svg('g');
  box.replaceChildren(
    svg(
      'svg',
      { viewBox: `0 0 ${width} ${height}`, width, height, 'aria-hidden': 'true' },
      svg(
        'clipPath',
        { id: clip },
        svg('rect', { x: left, y: top - 6, width: right - left + 6, height: bottom - top + 6 }),
      ),
      svg('g.grid', yTicks.map((value) => svg('line', { x1: left, x2: right, y1: plot.y(value), y2: plot.y(value) }))),
      svg(
        'g.axis',
        svg('line', { x1: left, x2: right, y1: bottom, y2: bottom }),
        xTicks.map((
          value,
        ) => [
          svg('line', { x1: plot.x(value), x2: plot.x(value), y1: bottom, y2: bottom + 4 }),
          svg('text', { x: plot.x(value), y: bottom + 17, 'text-anchor': 'middle' }, short(value)),
        ]),
        yTicks.map((value) => svg('text', { x: left - 8, y: plot.y(value) + 4, 'text-anchor': 'end' }, short(value))),
        svg('text.title', { x: (left + right) / 2, y: height - 6, 'text-anchor': 'middle' }, kind.x),
        svg('text.title', {
          x: 0,
          y: 0,
          transform: `translate(12 ${(top + bottom) / 2}) rotate(-90)`,
          'text-anchor': 'middle',
        }, kind.y),
      ),
      svg(
        'g',
        { 'clip-path': `url(#${clip})` },
        iso,
        visible.map((line) => {
          const points = kind.of(line.curves);
          const [className, dash] = tone.get(line.name);
          return points &&
            svg('path', {
              class: `curve ${className}`,
              'data-method': line.name,
              d: path(...points),
              'stroke-dasharray': dash || null,
            });
        }),
        visible.map((line) => {
          const points = kind.of(line.curves);
          const place = peak(line.curves);
          return points &&
            svg('circle', {
              class: `peak ${tone.get(line.name)[0]}`,
              cx: plot.x(points[0][place]),
              cy: plot.y(points[1][place]),
              r: 3.5,
            });
        }),
      ),
      plot.cursor,
    ),
  );
}
