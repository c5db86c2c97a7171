// The browser of pictures, and the opened picture.

const pictureView = () => shownViews().find((view) => browser?.view_rows?.[view.id]) || null;
const mediaOf = (view) => browser.media?.[view.dataset] || {};

// What the browser of pictures shows, in order: stems of a view with their places in the lists of scores.
function gallery(view) {
  const rows = browser.view_rows[view.id];
  const among = methods.map(({ name }) => name).filter((name) => rows.scores[name]);
  const keys = [...new Set(among.flatMap((name) => Object.keys(rows.scores[name])))].sort((a, b) => rank(a) - rank(b));
  const score = keys.includes(state.by) ? state.by : keys[0];
  const ranked = ordered(among, (name) => result(view.id, name)?.values?.max_f ?? null, true);
  const method = among.includes(state.method) ? state.method : ranked[0];
  const value = (name, place) => rows.scores[name]?.[score]?.[place] ?? null;
  const apart = (place) => {
    const values = among.map((name) => value(name, place)).filter(known);
    return values.length > 1 ? Math.max(...values) - Math.min(...values) : null;
  };
  const media = mediaOf(view);
  const places = rows.stems.map((_, place) => place);
  const kept = places.filter((place) => media[rows.stems[place]]);
  const partial = kept.length > 0 && kept.length < places.length;
  const chosen = partial && !state.scored ? kept : places;
  const list = state.order === 'apart'
    ? ordered(chosen, apart, true)
    : ordered(chosen, (place) => value(method, place), lower(score) === (state.order === 'worst'));
  return { view, rows, among, keys, score, method, value, apart, media, list, kept, partial };
}

function drawPictures() {
  const section = at('pictures');
  const view = pictureView();
  if (!view) return redraw(section);
  const all = gallery(view);
  const { rows, among, keys, score, method, list, kept, partial } = all;
  const pages = Math.max(1, Math.ceil(list.length / PAGE));
  state.page = Math.min(state.page, pages - 1);
  const pick = (name) => (value) => {
    Object.assign(state, { [name]: value, page: 0 });
    write();
    drawPictures();
  };
  const turn = (to) => {
    state.page = to;
    write();
    drawPictures();
    section.scrollIntoView({ block: 'start' });
  };
  const pager = (place) =>
    pages > 1 &&
    h(
      'div.pager',
      h('button', {
        type: 'button',
        disabled: state.page === 0,
        'data-focus': `previous:${place}`,
        onclick: () => turn(state.page - 1),
      }, 'Previous'),
      h('span', `Page ${state.page + 1} of ${pages}`),
      h('button', {
        type: 'button',
        disabled: state.page === pages - 1,
        'data-focus': `next:${place}`,
        onclick: () => turn(state.page + 1),
      }, 'Next'),
    );
  redraw(
    section,
    h('h2', { id: 'pictures-title' }, 'Pictures'),
    h('p.lead', `${view.label}: ${count(rows.stems.length)} scored pictures. `, browser.note || ''),
    h(
      'div.tools',
      picker(
        'Order',
        [['worst', 'worst first'], ['best', 'best first'], ['apart', 'largest disagreement']],
        state.order,
        pick('order'),
      ),
      picker('by', keys.map((one) => [one, label(one)]), score, pick('by')),
      state.order === 'apart'
        ? h('span.picker', 'between the best and the worst method')
        : picker('of', among.map((one) => [one, one]), method, pick('method')),
      partial &&
        h(
          'label.tick',
          h('input', {
            type: 'checkbox',
            checked: state.scored,
            'data-focus': 'scored',
            onchange: (event) => {
              state.scored = event.target.checked;
              pick('page')(0);
            },
          }),
          `also the ${count(rows.stems.length - kept.length)} without thumbnails`,
        ),
      pager('top'),
    ),
    h(
      'ol.gallery',
      { start: state.page * PAGE + 1 },
      list.slice(state.page * PAGE, (state.page + 1) * PAGE).map((place) => card(all, place)),
    ),
    pager('bottom'),
  );
}

// Which maps stand beside a picture: that of the method it is sorted by, or the best and worst of those that disagree.
function beside({ among, method, value, score }, place) {
  if (state.order !== 'apart') return [method];
  const sorted = ordered(
    among.filter((name) => known(value(name, place))),
    (name) => value(name, place),
    !lower(score),
  );
  return sorted.length > 1 ? [sorted[0], sorted.at(-1)] : sorted;
}

function card(all, place) {
  const stem = all.rows.stems[place];
  const media = all.media[stem];
  const names = beside(all, place);
  const told = names.map((name) => `${names.length > 1 ? `${name} ` : ''}${figure(all.value(name, place), 3)}`).join(
    ' · ',
  );
  const images = media
    ? [[media.picture, 'picture'], [media.mask, 'mask'], ...names.map((name) => [media.maps?.[name], name])]
    : [];
  return h(
    'li',
    h(
      'button',
      {
        type: 'button',
        class: 'card',
        'data-stem': stem,
        'data-focus': `card:${stem}`,
        'aria-label': `${stem}, ${label(all.score)} ${told}: open`,
        onclick: () => open(stem),
      },
      h(
        'span',
        { class: images.length > 3 ? 'strip four' : 'strip' },
        media
          ? images.map((
            [src, alt],
          ) => (src ? h('img', { src, alt, title: alt, decoding: 'async' }) : h('span.gap', 'none')))
          : h('span.gap', 'no thumbnails in this page'),
      ),
      h('span.told', h('span.stem', stem), h('span.value', told)),
    ),
  );
}

// -------------------------------------------------------------------------------------------------- the opened picture

const viewer = at('viewer');
const look = { layer: null, share: 50, outline: false };

function open(stem) {
  state.picture = stem;
  write();
  drawViewer();
}

function drawViewer() {
  const view = pictureView();
  const all = view && gallery(view);
  const place = all ? all.rows.stems.indexOf(state.picture) : -1;
  if (place < 0) {
    if (viewer.open) viewer.close();
    return;
  }
  const stem = state.picture;
  const media = all.media[stem] || {};
  const layers = [
    ...all.among.filter((name) => media.maps?.[name]).map((name) => [`map:${name}`, name, media.maps[name]]),
    ...(media.mask ? [['mask', 'Mask', media.mask]] : []),
  ];
  const wanted = look.layer && layers.find(([key]) => key === look.layer);
  const layer = wanted || layers.find(([key]) => key === `map:${beside(all, place)[0]}`) || layers[0];
  const position = all.list.indexOf(place);
  const step = (by) => {
    const next = all.list[position + by];
    if (position >= 0 && next !== undefined) open(all.rows.stems[next]);
  };

  const over = layer && h('img.over', { src: layer[2], alt: layer[1] });
  const divider = h('span.divider', { 'aria-hidden': 'true' });
  const outline = h('canvas.outline', { 'aria-hidden': 'true' });
  const slider = h('input', {
    type: 'range',
    min: '0',
    max: '100',
    step: '1',
    class: 'share',
    'data-focus': 'share',
    'aria-label': `Picture on the left, ${layer ? layer[1] : 'map'} on the right: where they meet`,
    oninput: (event) => slide(Number(event.target.value)),
  });
  const slide = (share) => {
    look.share = share;
    slider.value = String(share);
    if (over) over.style.clipPath = `inset(0 0 0 ${share}%)`;
    divider.style.left = `${share}%`;
  };
  const stage = media.picture && layer && h(
    'div.stage',
    {
      onpointerdown: (event) => {
        stage.setPointerCapture(event.pointerId);
        follow(event);
      },
      onpointermove: (event) => {
        if (stage.hasPointerCapture(event.pointerId)) follow(event);
      },
    },
    h('img.under', {
      src: media.picture,
      alt: `Picture ${stem}`,
      onload: (event) => {
        const { naturalWidth, naturalHeight } = event.target;
        stage.style.aspectRatio = `${naturalWidth} / ${naturalHeight}`;
        stage.parentElement.style.setProperty('--ratio', naturalWidth / naturalHeight);
      },
    }),
    over,
    outline,
    divider,
    h('span.corner.left', 'picture'),
    h('span.corner.right', layer[1]),
  );
  const follow = (event) => {
    const bounds = stage.getBoundingClientRect();
    slide(Math.round(Math.min(100, Math.max(0, (100 * (event.clientX - bounds.left)) / bounds.width))));
  };

  const showOutline = () => {
    outline.hidden = !look.outline;
    if (look.outline && media.mask) trace(media.mask, outline);
  };

  const strip = layers.length > 0 &&
    h(
      'fieldset.layers',
      h('legend', 'Compare the picture with'),
      h(
        'div.options',
        layers.map(([key, name, src]) =>
          h(
            'label',
            h('input', {
              type: 'radio',
              name: 'layer',
              value: key,
              checked: key === layer[0],
              'data-focus': `layer:${key}`,
              onchange: () => {
                look.layer = key;
                drawViewer();
              },
            }),
            h('img', { src, alt: '' }),
            h('span', name),
          )
        ),
      ),
    );

  const body = h(
    'div.columns',
    h(
      'div.scene',
      stage ||
        h('p.gap', 'There are no thumbnails of this picture in the page: its maps are in the files that were scored.'),
      stage && slider,
      stage && media.mask &&
        h(
          'label.tick',
          h('input', {
            type: 'checkbox',
            checked: look.outline,
            'data-focus': 'outline',
            onchange: (event) => {
              look.outline = event.target.checked;
              showOutline();
            },
          }),
          'Outline of the mask',
        ),
    ),
    h('div.about', strip, pictureScores(all, place)),
  );

  redraw(
    viewer,
    h(
      'header',
      h('h2', { id: 'viewer-title' }, stem),
      h(
        'p.fine',
        position >= 0 ? `${count(position + 1)} of ${count(all.list.length)}, ${orderName(all)}` : view.label,
      ),
      h(
        'div.pager',
        h('button', {
          type: 'button',
          'data-focus': 'before',
          disabled: position <= 0,
          title: 'previous picture (P)',
          onclick: () => step(-1),
        }, 'Previous'),
        h('button', {
          type: 'button',
          'data-focus': 'after',
          disabled: position < 0 || position === all.list.length - 1,
          title: 'next picture (N)',
          onclick: () => step(1),
        }, 'Next'),
        h('button', { type: 'button', 'data-focus': 'close', onclick: () => viewer.close() }, 'Close'),
      ),
    ),
    body,
  );
  viewer.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'n') step(1);
    if (event.key === 'p') step(-1);
    if (event.key === 'm' && media.mask) viewer.querySelector('.scene .tick input')?.click();
  };
  slide(look.share);
  showOutline();
  if (!viewer.open) {
    viewer.showModal();
    (stage ? slider : viewer.querySelector('[data-focus=close]')).focus();
  }
}

function orderName({ score, method }) {
  if (state.order === 'apart') return `largest disagreement in ${label(score)} first`;
  return `${state.order} ${label(score)} of ${method} first`;
}

function pictureScores({ rows, among, keys }, place) {
  const best = new Map(keys.map((key) => {
    const values = among.map((name) => rows.scores[name][key]?.[place]).filter(known);
    return [key, figure(lower(key) ? Math.min(...values) : Math.max(...values))];
  }));
  const cell = (name, key) => {
    const text = figure(rows.scores[name][key]?.[place]);
    return h(text === best.get(key) ? 'td.best' : 'td', text);
  };
  return grid(
    'single',
    'Scores of this picture',
    [[columnHead('Method'), keys.map((key) => columnHead(label(key)))]],
    among.map((name) => [rowHead(name), keys.map((key) => cell(name, key))]),
    'Scores of this picture',
  );
}

// The border of the mask, two pixels wide, in a colour that neither gray maps nor most pictures have.
function trace(mask, canvas) {
  const image = new Image();
  image.onload = () => {
    const scale = Math.max(1, Math.round(640 / Math.max(image.naturalWidth, image.naturalHeight)));
    const [width, height] = [image.naturalWidth * scale, image.naturalHeight * scale];
    Object.assign(canvas, { width, height });
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(image, 0, 0, width, height);
    const pixels = context.getImageData(0, 0, width, height);
    const inside = new Uint8Array(width * height);
    for (let i = 0; i < inside.length; i += 1) inside[i] = pixels.data[4 * i] > 127;
    pixels.data.fill(0);
    for (let y = 1; y < height - 1; y += 1) {
      for (let x = 1; x < width - 1; x += 1) {
        const i = y * width + x;
        if (!inside[i] || (inside[i - 1] && inside[i + 1] && inside[i - width] && inside[i + width])) continue;
        for (const j of [i, i - 1, i + 1, i - width, i + width]) pixels.data.set([255, 60, 0, 255], 4 * j);
      }
    }
    context.putImageData(pixels, 0, 0);
  };
  image.src = mask;
}

viewer.addEventListener('close', () => {
  const stem = state.picture;
  const view = pictureView();
  if (view && stem !== null) { // the gallery stands where the reader has come to
    const { list, rows } = gallery(view);
    state.page = Math.max(0, Math.floor(list.findIndex((place) => rows.stems[place] === stem) / PAGE));
  }
  state.picture = null;
  write();
  drawPictures();
  focusOn(at('pictures'), `card:${stem}`);
});
viewer.addEventListener('click', (event) => {
  if (event.target === viewer) viewer.close();
});
