const at = (id) => document.getElementById(id);
const formats = Object.fromEntries(document.body.dataset.formats.split(' ').map((one) => one.split(':')));
const names = { cutout: 'Cutout', overlay: 'Overlay', map: 'Map' };
const stage = at('stage');
const pictures = []; // { file, name, url, images: kind -> { url, seconds }, errors: kind -> text, button, mark }
let shown = null;
let running = false;

const kind = () => document.querySelector('input[name=kind]:checked').value;

// ------------------------------------------------------------------------------------------------------- pictures come

function add(files) {
  const before = pictures.length;
  for (const file of files) {
    // What is no picture is sent as well: the server says what is wrong with it.
    const picture = { file, name: file.name || 'picture', url: URL.createObjectURL(file), images: {}, errors: {} };
    pictures.push(picture);
    list(picture);
  }
  if (pictures.length === before) return;
  document.body.classList.add('has-pictures');
  at('work').hidden = false;
  show(pictures[before]);
  work();
}

function list(picture) {
  const item = document.createElement('li');
  const button = document.createElement('button');
  button.type = 'button';
  button.addEventListener('click', () => show(picture));
  const image = document.createElement('img');
  image.alt = '';
  image.onerror = () => { // not a format of this browser's; perhaps of the server's
    picture.unseen = true;
    const blank = document.createElement('span');
    blank.className = 'blank';
    image.replaceWith(blank);
    if (picture === shown) draw();
  };
  image.src = picture.url;
  const name = document.createElement('span');
  name.className = 'name';
  name.textContent = picture.name;
  picture.mark = document.createElement('span');
  picture.mark.className = 'mark';
  button.append(image, name, picture.mark);
  item.append(button);
  at('strip').append(item);
  picture.button = button;
}

at('file').addEventListener('change', (event) => {
  add([...event.target.files]);
  event.target.value = ''; // the same file may be chosen again
});
addEventListener('paste', (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length) event.preventDefault();
  add(files);
});
addEventListener('dragover', (event) => {
  event.preventDefault();
  document.body.classList.add('over-page');
});
addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) document.body.classList.remove('over-page');
});
addEventListener('drop', (event) => {
  event.preventDefault();
  document.body.classList.remove('over-page');
  add([...event.dataTransfer.files]);
});

// ---------------------------------------------------------------------------------------------- one after the other

const open = (picture) => !picture.images[kind()] && !picture.errors[kind()];

async function work() {
  if (running) return;
  running = true;
  // The one that is looked at first, then the others in their order.
  for (let next; (next = shown && open(shown) ? shown : pictures.find(open));) await make(next, kind());
  running = false;
}

async function make(picture, wanted) {
  picture.busy = wanted;
  draw();
  const start = performance.now();
  try {
    const answer = await send(picture.file, wanted);
    if (answer.ok) {
      const blob = await answer.blob();
      picture.images[wanted] = { url: URL.createObjectURL(blob), seconds: (performance.now() - start) / 1000 };
      say(`${names[wanted]} of ${picture.name} is done`);
    } else {
      const told = await answer.json().catch(() => ({}));
      picture.errors[wanted] = told.error || `The server answers with ${answer.status}.`;
    }
  } catch {
    picture.errors[wanted] = 'The server does not answer. Is arn serve still running?';
  }
  picture.busy = null;
  draw();
}

async function send(file, wanted) {
  const type = file.type.startsWith('image/') ? file.type : 'application/octet-stream';
  for (;;) {
    const answer = await fetch(`/?as=${wanted}&format=${formats[wanted]}`, {
      method: 'POST',
      headers: { 'Content-Type': type },
      body: file,
    });
    if (answer.status !== 503) return answer;
    await new Promise((done) => setTimeout(done, 1000 * (Number(answer.headers.get('Retry-After')) || 1)));
  }
}

// ---------------------------------------------------------------------------------------------------- what is shown

function show(picture) {
  shown = picture;
  draw();
}

function say(text) {
  at('status').textContent = text;
}

function draw() {
  const wanted = kind();
  for (const picture of pictures) {
    const failed = Boolean(picture.errors[wanted]);
    const state = failed ? 'failed' : picture.images[wanted] ? '' : picture.busy === wanted ? 'working' : 'waiting';
    picture.mark.textContent = { failed: 'failed', working: '…', waiting: 'waiting' }[state] ?? '';
    picture.mark.hidden = !state;
    picture.button.classList.toggle('failed', failed);
    picture.button.setAttribute('aria-current', String(picture === shown));
  }
  if (!shown) return;
  const image = shown.images[wanted];
  const error = shown.errors[wanted];
  const before = at('before');
  const after = at('after');
  if (before.src !== shown.url) before.src = shown.url;
  before.alt = `The picture ${shown.name}`;
  before.hidden = Boolean(shown.unseen);
  after.hidden = !image;
  if (image) {
    if (after.src !== image.url) after.src = image.url;
    after.alt = `${names[wanted]} of ${shown.name}`;
  }
  at('scene').hidden = Boolean(shown.unseen && !image);
  stage.classList.toggle('alone', Boolean(shown.unseen) || !image);
  stage.classList.toggle('working', !image && !error);
  at('kind-name').textContent = names[wanted];
  at('error').hidden = !error;
  at('error').textContent = error ? `${shown.name}: ${error}` : '';
  const { naturalWidth: width, naturalHeight: height } = shown.unseen ? after : before;
  const size = width && !(shown.unseen && !image) ? `, ${width} × ${height} px` : '';
  at('caption').textContent = error ? '' : shown.name + size + (image ? `, ${image.seconds.toFixed(2)} s` : '');
  at('save').disabled = !image;
  slide(Number(at('share').value));
}

at('save').addEventListener('click', () => {
  const link = document.createElement('a');
  link.href = shown.images[kind()].url;
  link.download = `${shown.name.replace(/\.[^.]*$/, '')}_${kind()}.${formats[kind()].replace('jpeg', 'jpg')}`;
  link.click();
});

for (const image of [at('before'), at('after')]) {
  image.addEventListener('load', () => {
    if (!shown || (image.id === 'after') !== Boolean(shown.unseen)) return;
    stage.style.aspectRatio = `${image.naturalWidth} / ${image.naturalHeight}`;
    at('scene').style.setProperty('--ratio', image.naturalWidth / image.naturalHeight);
    draw();
  });
}

// ------------------------------------------------------------------------------------------------------------ slider

function slide(share) {
  at('share').value = String(share);
  const alone = stage.classList.contains('alone');
  at('before').style.clipPath = alone ? '' : `inset(0 ${100 - share}% 0 0)`;
  at('after').style.clipPath = alone ? '' : `inset(0 0 0 ${share}%)`;
  stage.querySelector('.divider').style.left = `${share}%`;
}
const follow = (event) => {
  const bounds = stage.getBoundingClientRect();
  slide(Math.round(Math.min(100, Math.max(0, (100 * (event.clientX - bounds.left)) / bounds.width))));
};
at('share').addEventListener('input', (event) => slide(Number(event.target.value)));
stage.addEventListener('pointerdown', (event) => {
  stage.setPointerCapture(event.pointerId);
  follow(event);
});
stage.addEventListener('pointermove', (event) => {
  if (stage.hasPointerCapture(event.pointerId)) follow(event);
});

for (const radio of document.querySelectorAll('input[name=kind]')) {
  radio.addEventListener('change', () => {
    draw();
    work();
  });
}
