// The data, the state, and the few tools that everything else is drawn with. The files of this folder are put together
// into one script. What comes from the data enters the page as text nodes, attributes and numbers, never as markup.

const { bench, browser, labels, curves: curveLabels } = JSON.parse(document.getElementById('data').textContent);
const provenance = bench.provenance || {};
const confidence = provenance.confidence ?? 0.95;
const methods = bench.methods || [];
const views = bench.views || [];
const scores = bench.scores || [];
const comparisons = bench.comparisons || [];

// What is drawn against the threshold; `key` stands for it in the address.
const CURVES = curveLabels.map((one) => ({ ...one, key: one.name.replace(/_curve$/, '') }));
// name -> what it is called, what it means, which way is better; in the order of tables.
const LABELS = new Map(labels.map((one) => [one.name, one]));
const PLACES = new Map(labels.map((one, place) => [one.name, place]));
const KINDS = { checkpoint: 'checkpoint', onnx: 'ONNX', classical: 'training-free', maps: 'published maps' };
const BETA2 = 0.3;
const PAGE = 24;
const DASHES = ['', '9 4', '2 3', '9 3 2 3', '5 3'];
const TONES = 7;

const label = (score) => LABELS.get(score)?.text ?? score.replaceAll('_', ' ');
const lower = (score) => score === 'seconds' || LABELS.get(score)?.higher === false;
const rank = (score) => PLACES.get(score) ?? Infinity;
const known = (value) => typeof value === 'number';

// ------------------------------------------------------------------------------------------------------------ elements

// An element from `tag.class.class`, attributes (may be left out) and children; what is absent or false is left out.
function element(namespace, selector, content) {
  const [tag, ...classes] = selector.split('.');
  const made = document.createElementNS(namespace, tag);
  made.classList.add(...classes);
  const [first, ...rest] = content;
  const bare = first?.constructor !== Object;
  for (const [name, value] of Object.entries(bare ? {} : first)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (name === 'value' || name === 'checked' || name === 'disabled') made[name] = value;
    else made.setAttribute(name, value === true ? '' : value);
  }
  made.append(
    ...(bare ? content : rest).flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false),
  );
  return made;
}
const h = (selector, ...content) => element('http://www.w3.org/1999/xhtml', selector, content);
const svg = (selector, ...content) => element('http://www.w3.org/2000/svg', selector, content);
const at = (id) => document.getElementById(id);

// Redraws a part of the page; what had the focus (named by data-focus) has it again.
function redraw(container, ...children) {
  const held = container.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  container.replaceChildren(...children.flat(Infinity).filter(Boolean));
  container.hidden = !container.childElementCount;
  if (held) focusOn(container, held);
}
function focusOn(container, name) {
  [...container.querySelectorAll('[data-focus]')].find((one) => one.dataset.focus === name)?.focus();
}

// A table that scrolls by itself, by keyboard too; `heads` and `rows` are of cells.
function grid(selector, name, heads, rows, caption) {
  return h(
    'div.scroll',
    { tabindex: '0', role: 'region', 'aria-label': name, 'data-focus': `table:${name}` },
    h(
      `table.${selector}`,
      caption && h('caption', caption),
      h('thead', heads.map((cells) => h('tr', cells))),
      h('tbody', rows.map((cells) => (cells instanceof Node ? cells : h('tr', cells)))),
    ),
  );
}
const columnHead = (...content) => h('th', { scope: 'col' }, ...content);
const rowHead = (...content) => h('th', { scope: 'row' }, ...content);

function choice(legend, name, options, chosen, pick) {
  return h(
    'fieldset.choice',
    h('legend', legend),
    h(
      'div.options',
      options.map(([value, text]) =>
        h(
          'label',
          h('input', {
            type: 'radio',
            name,
            value,
            checked: value === chosen,
            'data-focus': `${name}:${value}`,
            onchange: () => pick(value),
          }),
          h('span', text),
        )
      ),
    ),
  );
}

function picker(text, options, chosen, pick, disabled) {
  return h(
    'label.picker',
    h('span', text),
    h(
      'select',
      { disabled, 'data-focus': `pick:${text}`, onchange: (event) => pick(event.target.value) },
      options.map(([value, shown]) => h('option', { value, selected: value === chosen }, shown)),
    ),
  );
}

// ------------------------------------------------------------------------------------------------------------- numbers

const DIGITS = 4;
// As the field prints them: .8534
const figure = (
  value,
  digits = DIGITS,
) => (known(value) ? value.toFixed(digits).replace(/^(-?)0\./, '$1.').replace('-', '−') : '–');
const range = ([low, high]) => `${figure(low)}–${figure(high)}`;
const probability = (p) => (p < 0.001 ? '< .001' : figure(p, 3));
const count = (number) => number.toLocaleString('en');
const pictures = (number) => `${count(number)} picture${number === 1 ? '' : 's'}`;
const percent = (share) => `${+(100 * share).toFixed(2)} %`;

function duration(seconds) {
  if (!known(seconds)) return '–';
  if (seconds < 1e-3) return `${(1e6 * seconds).toPrecision(3)} µs`;
  if (seconds < 1) return `${+(1e3 * seconds).toPrecision(3)} ms`;
  if (seconds < 120) return `${+seconds.toPrecision(3)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

const asSentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
const size = (parameters) => (parameters >= 1e6 ? `${+(parameters / 1e6).toPrecision(3)} M` : count(parameters));

// Values in order, those that are absent last either way.
function ordered(items, value, descending) {
  return items.map((item, index) => [value(item), index, item]).sort(([a, i], [b, j]) => {
    const [hasA, hasB] = [a !== null && a !== undefined, b !== null && b !== undefined];
    if (!hasA || !hasB) return hasB - hasA || i - j;
    const by = typeof a === 'string' ? a.localeCompare(b, 'en', { numeric: true }) : a - b;
    return (descending ? -by : by) || i - j;
  }).map(([, , item]) => item);
}

// ------------------------------------------------------------------------------------------------------- what there is

const base = (protocol) => protocol.split('@')[0];
const protocols = [...new Set(views.map((view) => base(view.protocol)))];
const viewsOf = (protocol) => views.filter((view) => base(view.protocol) === protocol);
const scoreAt = new Map(scores.map((one) => [`${one.view}\n${one.method}`, one]));
const result = (view, method) => scoreAt.get(`${view}\n${method}`);
const curvesOf = (view, method) => {
  const curves = result(view, method)?.curves || {};
  return (curves.precision && curves.recall) || CURVES.some(({ name }) => curves[name]) ? curves : null;
};
const tone = new Map(
  methods.map((method, index) => [method.name, [`tone${index % TONES}`, DASHES[index % DASHES.length]]]),
);
const offered = [...new Set(scores.flatMap((one) => Object.keys(one.values || {})))];
offered.sort((a, b) => rank(a) - rank(b));

const firstScores = offered.filter((score) => LABELS.get(score)?.first);
const usualScores = firstScores.length ? firstScores : offered.slice(0, 5);

// ------------------------------------------------------------------------------------------- the state, in the address

const ALL = '*/'; // every data set of a protocol: no data set has such a name
let state;

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  const number = (name) => Math.max(0, Number.parseInt(given.get(name), 10) || 0);
  const view = given.get('view');
  const chosen = (given.get('scores') || '').split(',').filter((score) => offered.includes(score));
  const valid = views.some((one) => one.id === view) || protocols.some((one) => view === ALL + one);
  state = {
    view: valid ? view : views[0]?.id,
    sort: given.get('sort'),
    reversed: given.get('reversed') === '1',
    scores: chosen.length ? chosen : null,
    hidden: new Set(given.getAll('hide')),
    second: (CURVES.find(({ key }) => key === given.get('curve')) || CURVES[0]).key,
    by: given.get('by'),
    method: given.get('method'),
    order: ['worst', 'best', 'apart'].includes(given.get('order')) ? given.get('order') : 'worst',
    scored: given.get('scored') === 'all',
    page: number('page'),
    picture: given.get('picture'),
  };
}

function write() {
  const said = new URLSearchParams();
  const say = (name, value, usual) => {
    if (value && value !== usual) said.append(name, value);
  };
  say('view', state.view);
  say('sort', state.sort);
  say('reversed', state.reversed && '1');
  say('scores', state.scores?.join(','));
  for (const name of state.hidden) say('hide', name);
  say('curve', state.second, CURVES[0].key);
  say('method', state.method);
  say('by', state.by);
  say('order', state.order, 'worst');
  say('scored', state.scored && 'all');
  say('page', state.page && String(state.page));
  say('picture', state.picture);
  const hash = `#${said.toString().replaceAll('%2F', '/').replaceAll('%2C', ',').replaceAll('%3A', ':')}`;
  try {
    history.replaceState(null, '', hash);
  } catch { // too often within a few seconds, as some browsers count it
  }
}

const protocol =
  () => (several() ? state.view.slice(ALL.length) : base(views.find((view) => view.id === state.view).protocol));
const several = () => state.view?.startsWith(ALL);
const chosenScores = () => state.scores || usualScores.slice(0, several() ? 2 : usualScores.length);
const shownViews = () => (several() ? viewsOf(protocol()) : views.filter((view) => view.id === state.view));
