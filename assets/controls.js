// What a person presses: the buttons of the stage, the keys, the links below a reply, and the pill that follows to other
// tabs. Same scope as live.js, which moves the stage.

// ---- buttons and keys -----------------------------------------------------------------------------------------------

function press() {
  if (BUSY.includes(state)) ui.interrupt();
  else if (LIVE.includes(state)) ui.end();
  else if (state !== 'connecting') ui.start();
}
// A mouse leaves the focus on what it clicked, and the next Space would click it again instead of talking.
const clicked = action => event => {
  if (event.detail) event.currentTarget.blur();
  action();
};
$('.av-main').onclick = clicked(press);
$('.av-mute').onclick = clicked(ui.mute);
$('.av-end').onclick = clicked(ui.end);
$('.av-orb').onclick = () => { if (BUSY.includes(state) || !LIVE.includes(state)) press(); };

const CONTROL = 'input, textarea, select, button, a, audio, summary, [contenteditable=true], [role=tab], [role=slider]';
const onControl = event => event.target.closest?.(CONTROL);
let spaceHeld = false;

addEventListener('keydown', event => {
  if (event.key === 'Escape' && BUSY.includes(state)) {
    event.preventDefault();
    ui.interrupt();
  }
  if (event.code !== 'Space' || onControl(event) || !stage.offsetParent) return;
  event.preventDefault();                            // also for repeats: the page must not scroll while Space is held
  if (event.repeat || spaceHeld) return;
  spaceHeld = true;
  if (LIVE.includes(state)) ui.onhold?.(true);
  else press();
});
addEventListener('keyup', event => {
  if (event.code !== 'Space' || !spaceHeld) return;
  spaceHeld = false;
  if (LIVE.includes(state)) ui.onhold?.(false);
});
addEventListener('blur', () => {                     // a key released in another window sends no keyup here
  if (spaceHeld && LIVE.includes(state)) ui.onhold?.(false);
  spaceHeld = false;
});

// ---- below a reply: play, copy, answer again ------------------------------------------------------------------------

document.addEventListener('click', event => {
  const link = event.target.closest?.('a[href^="#play-"]');
  const [, turn, side] = link?.hash.match(/^#play-([\w-]+)-(user|reply|hq)$/) ?? [];
  if (!turn) return;
  event.preventDefault();
  const within = link.closest('[role=tabpanel]') ?? document;
  const box = within.querySelector('.av-replay');
  const audio = box.querySelector('audio');
  const number = link.textContent.match(/\d+/)?.[0] ?? '';
  box.hidden = false;
  box.querySelector('figcaption').textContent = t(`replay_${side}`, { n: number });
  audio.setAttribute('aria-label', t(`replay_${side}`, { n: number }));
  audio.onerror = () => { box.querySelector('figcaption').textContent = t('replay_gone'); };
  audio.onplay = audio.onpause = audio.onended = () => ui.onreplay?.(!audio.paused);
  audio.src = new URL(`avatar/audio/${turn}/${side}`, document.baseURI).href;
  audio.play().catch(() => {});                      // refused or broken: the controls and the caption stay
});

// What is copied is what is read: the words without the line below them.
document.addEventListener('click', async event => {
  const link = event.target.closest?.('a[href="#copy"], a[href="#again"]');
  if (!link) return;
  event.preventDefault();
  if (link.hash === '#again') return void trigger('again', {});
  const words = link.closest('.av-line').parentElement.parentElement.cloneNode(true);
  words.querySelectorAll('.av-line, .av-rate').forEach(node => node.remove());
  words.querySelectorAll('br').forEach(line => line.replaceWith('\n'));
  const copied = await navigator.clipboard?.writeText(words.textContent.trim()).then(() => true, () => false);
  trigger('notice', { kind: copied ? 'info' : 'error', text: t(copied ? 'copied' : 'not_copied') });
});

// Words of read-only fragments, and the names of controls that Gradio leaves out or says in English only, wherever it
// puts them and whenever.
function translate(root) {
  for (const node of root.querySelectorAll('[data-t]')) if (!node.textContent) node.textContent = t(node.dataset.t);
  for (const node of root.querySelectorAll('.submit-button:not([aria-label])')) node.ariaLabel = t('send');
  for (const node of root.querySelectorAll('.toast-close[aria-label="Close"]')) node.ariaLabel = t('close');
  for (const node of root.querySelectorAll('.toast-header[tabindex]')) {   // it would fold its sentence away
    node.removeAttribute('tabindex');
    node.removeAttribute('role');
  }
  for (const node of root.querySelectorAll('.toast-message-text.error')) {
    if (/^(Connection to the server|This application is currently busy)/.test(node.textContent)) {   // busy: it stops
      node.textContent = t('no_answer');
    }
  }
  for (const node of root.querySelectorAll('[aria-label="Reset to default value"]')) node.ariaLabel = t('reset');
  for (const node of root.querySelectorAll('[aria-label^="number input for "], [aria-label^="range slider for "]')) {
    node.ariaLabel = node.ariaLabel.replace(/^[a-z]+ [a-z]+ for /, '');
  }
  for (const node of root.querySelectorAll('fieldset > [data-testid=block-info]')) {
    node.parentElement.ariaLabel = node.textContent.trim();
  }
  for (const node of root.querySelectorAll('.sidebar > .toggle-button:not([aria-expanded])')) {
    const tell = () => { node.ariaExpanded = node.parentElement.classList.contains('open'); };
    node.ariaLabel = t('settings');
    new MutationObserver(tell).observe(node.parentElement, { attributes: true, attributeFilter: ['class'] });
    tell();
  }
}
new MutationObserver(() => translate(document)).observe(document.body, { childList: true, subtree: true });
translate(document);

// ---- the pill that follows you to other tabs ------------------------------------------------------------------------

const pill = document.getElementById('av-pill')
  ?? document.body.appendChild(Object.assign(document.createElement('div'), { id: 'av-pill', hidden: true }));
let visible = true;
new IntersectionObserver(entries => {
  visible = entries.at(-1).isIntersecting;
  drawPill();
}, { threshold: 0.08 }).observe(stage);

function drawPill() {
  pill.hidden = visible || !LIVE.includes(state);
  if (pill.hidden) return;
  const busy = BUSY.includes(state);
  pill.style.setProperty('--c', getComputedStyle(stage).getPropertyValue('--c'));
  const action = t(busy ? 'interrupt' : 'back');
  pill.innerHTML = `<i></i><span>${t(`st_${state}`)}</span><button class="av-btn">${action}</button>`;
  pill.querySelector('button').onclick = () => {
    if (busy) return ui.interrupt();
    document.querySelector('button[role=tab]')?.click();
    stage.scrollIntoView({ block: 'center' });
  };
}
