// Before Start: how many seats are taken, which engines would answer, and whether they understand 中文. Same scope as
// transport.js.

const noChinese = () => prefs.language === 'zh' && ui.engines && !ui.engines.chinese.ready;
function tongueDetail() {
  const { engines, chinese: { get } } = ui.engines;
  return { name: engines.stt?.name ?? t('lat_stt'), get: get ? t('get_rung', get) : t('get_none') };
}

async function look() {
  const now = await server.look({}).catch(() => null);
  if (!now) return null;
  ui.seats(now.seats.n, now.seats.of);
  ui.ready(now);
  return now;
}

async function full() {
  stop();
  const now = await look();
  ui.set('full', { of: now?.seats.of ?? 5 });
  const poll = async () => {
    if (ui.state !== 'full') return;
    const { seats } = (await look()) ?? {};
    if (ui.state !== 'full') return;
    if (!seats || seats.n >= seats.of) return void (link.timer = setTimeout(poll, 5000));
    ui.set('idle');
    ui.hint(t('seat_free'));
    toast('info', t('seat_free'));
  };
  link.timer = setTimeout(poll, 5000);
}

async function keepLooking() {                       // often while something warms up, rarely after that
  let engines = ui.engines;
  if (!document.hidden && ['idle', 'tongue'].includes(ui.state)) engines = await look();
  const warm = engines && !engines.coming && Object.values(engines.engines).every(engine => engine?.ready);
  setTimeout(keepLooking, warm ? 15000 : 2000);
}
