// The list of conversations in History: which one was pressed, and at which turn a new one shall begin. The body of
// gr.HTML(js_on_load=...): `element`, `trigger` and `watch` are Gradio's.
const buttons = () => [...element.querySelectorAll('button[data-conversation]')];
let held = '';
element.addEventListener('click', event => {
  const pressed = event.target.closest?.('button[data-conversation]');
  if (!pressed) return;
  for (const button of buttons()) button.toggleAttribute('aria-current', false);
  pressed.setAttribute('aria-current', 'true');
  trigger('choose', { conversation: pressed.dataset.conversation, turn: Number(pressed.dataset.turn) || 0 });
});
element.addEventListener('keydown', event => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const at = buttons().indexOf(document.activeElement);
  if (!step || at < 0) return;
  event.preventDefault();
  buttons()[at + step]?.focus();
});
// The markup is replaced whenever the list is read: whoever was on a button by keyboard is put back on it.
element.addEventListener('focusin', event => { held = event.target.dataset?.conversation ?? ''; });
element.addEventListener('focusout', event => { if (event.relatedTarget) held = ''; });
watch('value', () => {
  if (!held || document.activeElement !== document.body) return;
  buttons().find(button => button.dataset.conversation === held)?.focus({ preventScroll: true });
});
document.addEventListener('click', event => {
  const link = event.target.closest?.('#past a[href^="#fork-"]');
  const [, turn] = link?.hash.match(/^#fork-([\w-]+)$/) ?? [];
  if (!turn) return;
  event.preventDefault();
  trigger('fork', { turn });
});
