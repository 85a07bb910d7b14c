// Runs in the head, before any part of the page is there: the parts come in any order, and one of them may be late.
(() => {
  // The stage's script gives `window.avatarUI` here. An event of another part that needs it waits for it.
  window.avatarStage = new Promise(there => { window.avatarStaged = there; });

  // ---- light or dark: Gradio follows the system, unless one was chosen here ---------------------------------------------

  const LOOK = 'avatar-look';
  const looks = () => { try { return localStorage.getItem(LOOK) ?? ''; } catch { return ''; } };
  const systemDark = matchMedia('(prefers-color-scheme: dark)');
  function dress() {
    const chosen = looks();
    if (chosen) document.body.classList.toggle('dark', chosen === 'dark');
    for (const select of document.querySelectorAll('select.av-look')) select.value = chosen;
  }
  document.addEventListener('change', event => {
    if (!event.target.matches?.('select.av-look')) return;
    try { localStorage.setItem(LOOK, event.target.value); } catch { /* the browser keeps nothing */ }
    if (!event.target.value) document.body.classList.toggle('dark', systemDark.matches);
    dress();
  });
  new MutationObserver(dress).observe(document.body, { attributes: true, attributeFilter: ['class'] });
  new MutationObserver(dress).observe(document.body, { childList: true, subtree: true });   // the settings are there
  dress();
})();
