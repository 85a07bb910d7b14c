// One tap rates the sound of a reply. The answer replaces the links, so whoever came by keyboard is put back on theirs.
let rated = null;
document.addEventListener('click', event => {
  const link = event.target.closest?.('a[href^="#rate-"]');
  const [, turn, rating] = link?.hash.match(/^#rate-([\w-]+)-(\d+)$/) ?? [];
  if (!turn) return;
  event.preventDefault();
  const place = [...link.parentElement.children].indexOf(link);
  rated = event.detail ? null : { within: link.closest('[role=tabpanel]') ?? document, turn, place };
  trigger('rate', { turn, rating: Number(rating) || null });
});

new MutationObserver(() => {
  if (!rated || document.activeElement !== document.body) return;
  const link = rated.within.querySelectorAll(`a[href^="#rate-${rated.turn}-"]`)[rated.place];
  const place = link?.checkVisibility() ? link : link?.closest('details').querySelector('summary');
  place?.focus({ preventScroll: true });
}).observe(document.body, { childList: true, subtree: true });
