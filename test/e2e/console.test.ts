/**
 * Goal: the console in a real browser shows what the API says: charts, figures, tables, hosts, plan, events; live; with
 * reasons where it is empty and when the aggregator goes away; nothing from elsewhere, no errors, no markup from guests'
 * names, at desktop and phone width, light and dark.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import t from 'tap';
import { createHttpServer } from '../../aggregator/http/server.ts';
import { accessWorld } from '../support/access-world.ts';
import { launchBrowser, watchedPage } from '../support/browser.ts';
import { type FakeServiceOptions, fakeService } from '../support/fake-service.ts';
import { freePort } from '../support/free-port.ts';
import { logInWorld } from '../support/log-in-world.ts';
import { MADE_VMS } from '../support/made-fleet.ts';
import { axeViolations, faint, groundBrightness, pixelsOf, sidewaysPx, unnamed } from '../support/page-checks.ts';

const NOW_MS = Date.UTC(2026, 0, 7, 12, 0, 31);
const WEB = MADE_VMS[0]!;
const WAIT_MS = 20_000;

// A browser on two busy cores: seconds for each page. A page mostly waits for its processes to start: two at a time.
t.setTimeout(300_000);
t.jobs = 2;
const browser = await launchBrowser();
t.teardown(() => browser.close());

interface World {
  teardown(end: () => unknown): void;
}

async function serve(t: World, options: FakeServiceOptions = {}) {
  const service = await fakeService({ nowMs: () => NOW_MS, ...options });
  const server = await createHttpServer(service, { port: 0 });
  t.teardown(() => server.close());
  return { service, server };
}

async function open(t: World, url: string, options: Parameters<typeof watchedPage>[1] = {}) {
  const watched = await watchedPage(browser, { viewport: { width: 1440, height: 1200 }, ...options });
  t.teardown(() => watched.page.context().close());
  watched.page.setDefaultTimeout(WAIT_MS);
  await watched.page.goto(url);
  return watched;
}

/** For tests that leave it as they found it: to make an application takes a second of CPU. */
const shared = await serve(t);

const guest = (page: Page, id: string) => page.locator(`li.guest[data-vm="${id}"]`);
const drawn = (page: Page, id: string, resource: string) => guest(page, id).locator(`[data-chart="${resource}"] canvas`);

t.test('overview: every guest with figures and charts as the API has them', async (t) => {
  const { service, server } = shared;
  const { page, problems, asked } = await open(t, server.url);
  await drawn(page, WEB.id, 'cpu').waitFor();
  await drawn(page, WEB.id, 'memory').waitFor();
  t.same((await page.locator('li.guest h3').allTextContents()).sort(), MADE_VMS.map(({ name }) => name).sort());

  const view = service.vm(WEB.id)!.resources;
  const figures = await guest(page, WEB.id).locator('[data-resource="cpu"] dd').allTextContents();
  t.equal(figures[0], `${view.cpu.usage!.toFixed(2)} cores`, 'uses');
  t.equal(figures[2], `${view.cpu.allocation!.toFixed(2)} cores`, 'granted');
  t.equal(figures[3], `${view.cpu.floor!.toFixed(2)} – ${view.cpu.ceiling!.toFixed(2)}`, 'bounds');
  const memory = await guest(page, WEB.id).locator('[data-resource="memory"] dd').allTextContents();
  t.equal(memory[0], `${view.memory.usage!.toFixed(0)} MiB`);
  t.match(await guest(page, WEB.id).locator('[data-resource="cpu"] .decision').textContent(), view.cpu.lastDecision!.reason);
  t.equal(await guest(page, WEB.id).locator('[data-resource="cpu"] .mode').textContent(), 'auto');

  const chart = `li.guest[data-vm="${WEB.id}"] [data-chart="cpu"] canvas`;
  t.ok((await pixelsOf(page, chart, '--chart-usage')) > 100, 'usage is drawn');
  t.ok((await pixelsOf(page, chart, '--chart-granted')) > 100, 'allocation is drawn');
  t.ok((await pixelsOf(page, chart, '--chart-future')) > 100, 'the future has its own ground');

  t.ok(
    asked.every((url) => url.startsWith(server.url)),
    'nothing from elsewhere',
  );
  t.same(problems, []);
});

t.test("the table of a chart's numbers equals the API's rows", async (t) => {
  const { server } = shared;
  const { page, problems, asked } = await open(t, `${server.url}/#/vm/${WEB.id}`);
  for (const resource of ['cpu', 'memory']) {
    await page.locator(`section[data-resource="${resource}"] summary`).click();
    const table = page.locator(`table[data-table="${resource}"]`);
    await table.locator('tbody tr').first().waitFor();
    const shown = await table
      .locator('tbody tr')
      .evaluateAll((rows) =>
        rows.map((row) => [
          row.getAttribute('data-time'),
          ...[...row.querySelectorAll('td')].map((cell) => cell.getAttribute('data-value')),
        ]),
      );
    const url = asked.findLast((each) => each.includes('/series?') && each.includes(`resource=${resource}`))!;
    const series = (await (await fetch(url)).json()) as Record<
      'timesMs' | 'usage' | 'forecastMedian' | 'forecastHigh' | 'allocation',
      (number | null)[]
    >;
    const rows = series.timesMs
      .map((time, i) => [time, series.usage[i], series.forecastMedian[i], series.forecastHigh[i], series.allocation[i]])
      .filter(([, ...values]) => values.some((value) => value !== null))
      .slice(-12)
      .reverse();
    t.equal(rows.length, 12);
    // The page may have asked again since: its rows are the API's at their times.
    const byTime = new Map(rows.map((row) => [String(row[0]), row]));
    const common = shown.filter(([time]) => byTime.has(time!));
    t.ok(common.length >= 6, `${resource}: ${common.length} rows in common`);
    for (const row of common)
      t.same(
        row,
        byTime.get(row[0]!)!.map((value) => (value === null ? '' : String(value))),
      );
  }
  t.same(problems, []);
});

t.test('one guest: all resources, the explanation, the changes from the ledger, its events', async (t) => {
  const { service, server } = shared;
  const { page, problems } = await open(t, server.url);
  await guest(page, WEB.id).getByRole('link', { name: 'shop-web' }).click();
  await page.getByRole('heading', { level: 1, name: 'shop-web' }).waitFor();
  await page.locator('.why li').first().waitFor();
  const { text } = (await (await fetch(`${server.url}/v1/vms/${WEB.id}/explain`)).json()) as { text: string[] };
  t.same(await page.locator('.why li').allTextContents(), text);
  for (const name of ['CPU', 'Memory', 'Network', 'Disk']) await page.getByRole('heading', { name, exact: true }).waitFor();
  await page.locator('table.changes tbody tr').first().waitFor();
  t.match(await page.locator('table.changes tbody tr').allTextContents(), [/cap 0\.62 cores.*cap 0\.80 cores.*applied/]);
  const own = service.events.recent(100).filter((event) => event.vm === WEB.id);
  t.equal(await page.locator('.events li').count(), own.length);
  await page.getByRole('link', { name: 'All guests' }).click();
  await guest(page, WEB.id).waitFor();
  t.same(problems, []);
});

t.test("one guest's vCPUs: how many of all are online, what was changed and why, and fewer approved by a press", async (t) => {
  const { service, server } = await serve(t);
  const [was, plan] = [service.vm.bind(service), 'plan-41'];
  const reason = '4 of 8 vCPUs taken offline at 11:00:00 because no more than 1.40 cores is expected to be wanted until 17:00:00';
  const judged = { verdict: 'helped' as const, reason: 'what was taken was not missed: it wanted 1.20 cores at most', planId: plan };
  const vcpus = { defined: 8, online: 4, lastChange: { atMs: NOW_MS - 3_600_000, reason } };
  const lastVerdict = { ...judged, judgedAtMs: NOW_MS, changedAtMs: NOW_MS - 3_600_000, direction: 'shrink' as const, from: 8, to: 4 };
  service.vm = (id) => {
    const view = was(id);
    return view === null || id !== WEB.id ? view : { ...view, vcpus: { ...vcpus, lastVerdict } };
  };
  service.vms = () => MADE_VMS.map(({ id }) => service.vm(id)!);
  const change = { planId: plan, from: 8, to: 4, of: 8, online: 4, outcome: 'applied' as const, reason };
  const about = { vm: WEB.id, host: WEB.host, resource: 'cpu' as const, after: null, message: `shop-web: ${reason}` };
  await service.ledger.append(NOW_MS - 3_600_000, { kind: 'event', event: 'vcpus-online', ...about, vcpus: change });
  await service.ledger.append(NOW_MS, { kind: 'event', event: 'vm-state', ...about, message: 'shop-web is ready' });

  const { page, problems } = await open(t, `${server.url}/#/vm/${WEB.id}`);
  await page.locator('.guest-head .agent', { hasText: 'with guest agent, 4 of 8 vCPUs online' }).waitFor();
  await page.locator('.why li', { hasText: "4 of its 8 vCPUs are online, by its guest agent's word" }).waitFor();
  await page.locator('.why li', { hasText: `Last of its vCPUs: ${reason}.` }).waitFor();
  await page.locator('.why li', { hasText: /^Taking 4 of its vCPUs offline at \S+ helped: what was taken was not missed/ }).waitFor();
  const rows = page.locator('table.changes tbody tr');
  await rows.filter({ hasText: 'vCPUs' }).waitFor();
  t.match(await rows.filter({ hasText: 'vCPUs' }).locator('td').allTextContents(), [
    'vCPUs',
    '8 of 8 online',
    '4 of 8 online',
    'applied',
    reason,
  ]);
  t.equal(await rows.count(), 2, 'beside the change of its cap, and nothing of what is no change');

  const queued = service.recommendations()[0]!;
  const online = (count: number) => ({ resource: 'vcpus' as const, online: count });
  const more = {
    id: `${WEB.id}.vcpus`,
    vm: WEB.id,
    vmName: WEB.name,
    host: WEB.host,
    resource: 'vcpus' as const,
    from: online(4),
    to: online(2),
  };
  const asked: unknown[] = [];
  service.recommendations = () =>
    asked.length > 0 ? [queued] : [queued, { ...queued, ...more, reason: 'recommended only: two would do' }];
  service.approve = async (id, to) => {
    asked.push([id, to]);
    return queued;
  };
  await page.goto(`${server.url}/#/plan`);
  await page.locator('.queued', { hasText: 'shop-web' }).getByText('vCPUs: 4 online → 2 online').waitFor();
  await page.getByRole('button', { name: 'Approve: shop-web, vCPUs: 4 online → 2 online' }).click();
  await page.getByText('shop-web: vCPUs: approved.').waitFor();
  t.same(asked, [[more.id, online(2)]], 'what was seen is what is asked for');
  await page.locator('.queued', { hasText: 'two would do' }).waitFor({ state: 'detached' });
  t.same(problems, []);
});

t.test('hosts as bars, with the figures of the API', async (t) => {
  const { service, server } = shared;
  const { page } = await open(t, server.url);
  await page.locator('.host').first().waitFor();
  const host = service.hosts()[0]!;
  const label = await page.locator('.host').first().locator('.meter').first().getAttribute('aria-label');
  const short = (value: number) => String(Number(value.toFixed(1)));
  t.equal(label, `CPU: ${short(host.usageCores!)} used, ${short(host.allocatedCores)} granted, of ${host.cpuCores} cores`);
  const width = await page.locator('.host .meter-used').first().getAttribute('style');
  t.ok(Math.abs(Number.parseFloat(/width: ([\d.]+)%/.exec(width ?? '')?.[1] ?? '') - (100 * host.usageCores!) / host.cpuCores) < 0.1);
});

t.test('groups: their size and why, their members, what they are made from', async (t) => {
  const { service, server } = shared;
  const { page, problems } = await open(t, server.url);
  const group = page.locator('.group');
  await group.getByText('1 serving, 2 wanted, 1 to 6 allowed, auto').waitFor();
  const [{ reason, notDone, members }] = service.spawning.groups() as [ReturnType<typeof service.spawning.groups>[number]];
  await group.getByText(reason).waitFor();
  await group.getByText(`Not done: ${notDone}.`).waitFor();
  t.match(await group.locator('li').allTextContents(), [new RegExp(`^${members[0]!.name} on kvm1: serving for .*${members[0]!.reason}$`)]);
  await page.locator('summary', { hasText: '1 template' }).click();
  await page.getByText('debian-web@1: 2 vCPUs, 1024 MiB; ready within 31 s on kvm1 (3 boots)').waitFor();
  await service.spawning.setGroupBounds('web', { min: 2, max: 3 }, 'kubernetes');
  await group.getByText('2 to 3 (set by kubernetes) allowed').waitFor();
  await service.spawning.setGroupBounds('web', null, 'kubernetes');
  t.same(problems, []);
});

t.test('live: an event is shown as it happens, and a changed state with it', async (t) => {
  const { service, server } = shared;
  const { page, problems } = await open(t, server.url);
  await page.locator('#connection', { hasText: 'Live' }).waitFor();
  service.emit({ kind: 'outcome', vm: WEB.id, host: WEB.host, message: 'shop-web: just now', data: {} });
  await page.locator('.events li').first().getByText('shop-web: just now').waitFor();
  await service.setKillSwitch({ kind: 'fleet' }, true, 'test', 'drill');
  await page.locator('.banner', { hasText: 'kill switch of the fleet is engaged' }).waitFor();
  await service.setKillSwitch({ kind: 'fleet' }, false, 'test', 'over');
  await page.locator('.banner').waitFor({ state: 'detached' });
  t.same(problems, []);
});

t.test('an empty fleet says why it is empty and when it will fill', async (t) => {
  const { server } = await serve(t, { empty: true });
  const { page, problems } = await open(t, server.url);
  await page.locator('.banner', { hasText: 'Not deciding yet: no plan was made yet' }).waitFor();
  t.match(await page.locator('.guest-area .empty').textContent(), /no guests because no host has connected.*appear within a minute/s);
  t.match(
    await page.locator('section', { hasText: 'Hosts' }).last().textContent(),
    /No host agent has connected yet.*a few seconds after/s,
  );
  t.match(await page.locator('.plan-head').textContent(), /No plan was made yet. The first comes one plan period after/);
  t.match(await page.locator('aside').textContent(), /The policy names no group, so no VM is made or ended here.*apply a template/s);
  t.match(await page.locator('aside').textContent(), /Nothing has happened since this aggregator started/);
  t.same(problems, []);
});

t.test('empty charts say why: paused guests, windows without data, guests that are gone', async (t) => {
  const { server } = await serve(t, { historyMs: 0 });
  const { page, problems } = await open(t, server.url);
  const idle = guest(page, MADE_VMS[3]!.id).locator('[data-chart="cpu"] .empty');
  await idle.scrollIntoViewIfNeeded();
  await guest(page, MADE_VMS[3]!.id)
    .locator('[data-chart="cpu"] .empty', { hasText: 'The guest is paused: nothing is measured. The chart fills when it runs.' })
    .waitFor();
  await guest(page, WEB.id).scrollIntoViewIfNeeded();
  await guest(page, WEB.id).locator('[data-chart="cpu"] .empty', { hasText: 'Nothing was stored in this window' }).waitFor();
  await page.goto(`${server.url}/#/vm/00000000-0000-4000-8000-00000000ffff`);
  await page.getByText('No guest with the UUID 00000000-0000-4000-8000-00000000ffff').waitFor();
  t.same(problems, []);
});

t.test('an aggregator that goes away is told, and found again', async (t) => {
  const service = await fakeService({ nowMs: () => NOW_MS });
  const server = await createHttpServer(service, { port: 0 });
  const port = Number(new URL(server.url).port);
  const { page } = await open(t, server.url);
  await drawn(page, WEB.id, 'cpu').waitFor();
  await server.close();
  await page.locator('.banner', { hasText: 'The aggregator does not answer since' }).waitFor();
  t.equal(await page.locator('#connection').textContent(), 'No answer');
  t.ok(await guest(page, WEB.id).isVisible(), 'what was known stays');
  const again = await createHttpServer(service, { port });
  t.teardown(() => again.close());
  await page.locator('#connection', { hasText: 'Live' }).waitFor();
  t.equal(await page.locator('.banner').count(), 0);
});

t.test('a stream that does not get through: events are asked for instead', async (t) => {
  const { service, server } = shared;
  const { page } = await watchedPage(browser);
  t.teardown(() => page.context().close());
  await page.route('**/v1/events', (route) => route.abort());
  await page.goto(server.url);
  await page.locator('#connection', { hasText: 'Polling' }).waitFor();
  service.emit({ kind: 'notification', vm: null, host: null, message: 'seen by asking', data: {} });
  await page.getByText('seen by asking').waitFor();
});

t.test('what guests, policies and hypervisors name is text, never markup', async (t) => {
  const { service, server } = await serve(t);
  const evil = '<img src=x onerror="alert(1)"><script>alert(2)</script>';
  const views = service.vms();
  service.vms = () => views.map((vm) => (vm.id === WEB.id ? { ...vm, name: evil, labels: { [evil]: evil }, missingSignals: [evil] } : vm));
  service.emit({ kind: 'notification', vm: WEB.id, host: null, message: evil, data: {} });
  const { page, problems } = await open(t, server.url);
  await guest(page, WEB.id).getByRole('link', { name: evil }).waitFor();
  await guest(page, WEB.id).getByRole('link').first().click();
  await page.getByRole('heading', { level: 1, name: evil }).waitFor();
  t.equal(await page.locator('main img, main script').count(), 0);
  t.same(problems, []);
});

t.test('a guest can be found by name, host, label and mode', async (t) => {
  const { server } = shared;
  const { page } = await open(t, server.url);
  const names = () => page.locator('li.guest h3').allTextContents();
  const filter = page.getByRole('searchbox', { name: 'Filter guests' });
  await filter.waitFor();
  for (const [text, expected] of [
    ['SHOP', ['shop-web']],
    ['rack1-kvm02', ['gpu-render', 'idle-legacy']],
    ['batch', ['nightly-batch']],
    ['recommend', ['gpu-render']],
  ] as const) {
    await filter.fill(text);
    t.same(await names(), expected, text);
  }
  await filter.fill('nothing like it');
  await page.getByText('No guest matches “nothing like it”.').waitFor();
});

t.test('a longer window asks for a longer series', async (t) => {
  const { page, asked } = await open(t, shared.server.url);
  await drawn(page, WEB.id, 'cpu').waitFor();
  const span = (url: string) => Number(new URL(url).searchParams.get('toMs')) - Number(new URL(url).searchParams.get('fromMs'));
  // Waited for before it is chosen: the page asks at once, and then not for a while.
  const [request] = await Promise.all([
    page.waitForRequest((each) => each.url().includes('/series?') && span(each.url()) === 3_600_000),
    page.getByRole('combobox', { name: 'Charts show the last' }).selectOption('1 hour'),
  ]);
  t.ok(asked.includes(request.url()));
});

t.test('what is put aside: where it is, when it is wanted, how far its bytes are, how good the last guess was', async (t) => {
  const { service, server } = await serve(t);
  const { page, problems } = await open(t, `${server.url}/#/resume`);
  const entry = page.locator('li.host', { hasText: 'desktop-9' });
  await entry.getByText(/^put aside on host-1 since/).waitFor();
  const [aside] = service.suspending.suspensions() as [ReturnType<typeof service.suspending.suspensions>[number]];
  t.match(await entry.textContent(), new RegExp(`${aside.prediction!.text}; likeliest at .*, 80 % likely within 60 min`));
  t.match(await entry.textContent(), /1536 MiB of 2048 MiB is not empty/);
  t.match(await entry.textContent(), /32 MiB before it runs, learnt from 3 resumes/);
  t.match(await entry.textContent(), /97 % of what it touched had been fetched; 4 % of what was fetched it did not touch/);
  await page.getByText('Nothing was ordered since this aggregator started.').waitFor();
  t.equal(await entry.getByRole('progressbar').count(), 0, 'no bar while nothing moves');

  service.suspending.prefetch(aside.vm, { holdMs: 60_000, bytesPerSecondMax: null }, 'test');
  const bar = entry.getByRole('progressbar', { name: 'desktop-9: Make ready' });
  await bar.waitFor();
  t.equal(await bar.getAttribute('aria-valuenow'), '50');
  t.equal(await bar.getAttribute('aria-valuetext'), '50 %, 512 MiB of 1024 MiB left, about 2 s more');
  t.equal(await bar.locator('.meter-used').getAttribute('style'), 'width: 50%;');
  t.match(await page.locator('table.listing tbody tr').allTextContents(), [/desktop-9Make ready.*testunder way \(50 %\)/]);
  const empty = await serve(t, { empty: true });
  await page.goto(`${empty.server.url}/#/resume`);
  await page.getByText(/No guest is put aside. One appears here when somebody suspends it/).waitFor();
  t.same(problems, []);
});

t.test('the map: every row of the API, found by guest, host and device', async (t) => {
  const { server } = shared;
  const { page, problems } = await open(t, `${server.url}/#/map`);
  const rows = page.locator('table.listing tbody tr');
  await rows.first().waitFor();
  const { items } = (await (await fetch(`${server.url}/v1/map?limit=1000`)).json()) as { items: { vmName: string; virtual: string }[] };
  t.equal(await rows.count(), items.length);
  const filter = page.getByRole('searchbox', { name: 'Filter the map' });
  await filter.fill('shop-web');
  t.equal(await rows.count(), items.filter(({ vmName }) => vmName === 'shop-web').length);
  t.match(await rows.allTextContents(), [new RegExp(`^shop-web.*${items.find(({ vmName }) => vmName === 'shop-web')!.virtual}`)]);
  await filter.fill('nothing like it');
  await page.getByText('Nothing matches “nothing like it”.').waitFor();
  t.same(problems, []);
});

t.test('the audit: newest entries first, one kind alone, the chain proved', async (t) => {
  const { server } = shared;
  const { page, problems } = await open(t, `${server.url}/#/audit`);
  const rows = page.locator('table.listing tbody tr');
  await rows.first().waitFor();
  const read = async (query: string) =>
    (
      (await (await fetch(`${server.url}/v1/ledger?limit=50${query}`)).json()) as {
        items: { index: number; hash: string; body: { kind: string } }[];
      }
    ).items;
  const first = (page: Page) => page.locator('table.listing tbody th').allTextContents();
  t.same(
    await first(page),
    (await read('')).map(({ index }) => String(index)),
  );
  const proof = (await (await fetch(`${server.url}/v1/audit/verify`)).json()) as { entries: number; head: string };
  await page.getByText(`The chain holds: ${proof.entries} entr`).waitFor();
  const outcomes = await read('&kind=outcome');
  t.ok(outcomes.length > 0);
  await page.getByRole('combobox', { name: 'Show' }).selectOption('outcome');
  await rows.nth(outcomes.length).waitFor({ state: 'detached' });
  t.match(
    await rows.allTextContents(),
    outcomes.map(() => /shop-web/),
    'VMs by name',
  );
  t.same(
    await first(page),
    outcomes.map(({ index }) => String(index)),
  );
  await page.getByRole('combobox', { name: 'Show' }).selectOption('template');
  await page.getByText(/There is no entry of kind template yet/).waitFor();
  t.same(problems, []);
});

const LOOKS = [
  { colorScheme: 'light', name: 'desktop', width: 1440, height: 900 },
  { colorScheme: 'light', name: 'phone', width: 390, height: 844 },
  { colorScheme: 'dark', name: 'desktop', width: 1440, height: 900 },
  { colorScheme: 'dark', name: 'phone', width: 390, height: 844 },
] as const;
/** What tells that a page has what it shows. */
const FILLED: readonly (readonly [path: string, filled: string])[] = [
  ['/', '[data-chart="cpu"] canvas'],
  [`/#/vm/${WEB.id}`, '[data-chart="cpu"] canvas'],
  ['/#/plan', '.queued'],
  ['/#/policies', 'textarea'],
  ['/#/savings', 'table.listing tbody tr'],
  ['/#/resume', '.aside-facts'],
  ['/#/map', 'table.listing tbody tr'],
  ['/#/audit', 'table.listing tbody tr'],
  ['/docs', 'section'],
  ['/docs/guide', 'main li'],
  ['/docs/guide/policy', 'main table'],
];

/** One page, seen in each way in turn: what differs is the style alone, so nothing is loaded again. */
for (const [path, filled] of FILLED) {
  t.test(`${path}, wide and narrow, light and dark: fits, readable, named, reachable by keyboard`, { buffered: true }, async (t) => {
    const { page, problems } = await open(t, `${shared.server.url}${path}`);
    await page.locator(filled).first().waitFor();
    if (path === '/') {
      await page.keyboard.press('Tab');
      t.equal(await page.locator(':focus').textContent(), 'Skip to the content');
    }
    const violations: string[] = [];
    for (const [i, { name, colorScheme, width, height }] of LOOKS.entries()) {
      const look = `${name}, ${colorScheme}`;
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height });
      t.ok((await sidewaysPx(page)) <= 0, `${look}: does not scroll sideways`);
      const brightness = await groundBrightness(page);
      t.ok(colorScheme === 'dark' ? brightness < 60 : brightness > 200, `${look}: a ground of brightness ${brightness}`);
      t.same(await unnamed(page), [], `${look}: all that can be used has a name`);
      t.same(await faint(page), [], `${look}: text stands out from its ground (WCAG AA, 4.5)`);
      t.same(problems, [], look);
      // All rules where the page is laid out anew, in dark those that look at colours. What axe does in a page is told as errors there.
      violations.push(...(await axeViolations(page, i < 2 ? 'all' : 'colours')).map((each) => `${look}: ${each}`));
      problems.length = 0;
      if (process.env.HEADROOM_SCREENSHOTS !== undefined)
        await page.screenshot({
          path: join(process.env.HEADROOM_SCREENSHOTS, `${path.replaceAll(/[^a-z]+/g, '-').slice(0, 24)}-${name}-${colorScheme}.png`),
          fullPage: true,
        });
    }
    t.same(violations, [], 'axe');
  });
}

t.test('where the aggregator asks who one is: a token lets in, nothing else does, and out again', async (t) => {
  const { access, service, token, app } = await accessWorld();
  await app.close();
  const server = await createHttpServer(service, { port: 0, access });
  t.teardown(() => server.close());
  const { page } = await open(t, server.url);
  const field = page.getByLabel('Token');
  await field.waitFor();
  t.equal(await page.locator('li.guest').count(), 0, 'nothing is shown before');
  await field.fill('nonsense');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('alert').filter({ hasText: 'unknown, revoked or expired' }).waitFor();
  await field.fill(await token({ name: 'person' }));
  await page.getByRole('button', { name: 'Log in' }).click();
  await guest(page, WEB.id).waitFor();
  const cookies = await page.context().cookies();
  t.match(cookies, [{ name: 'headroom', httpOnly: true, sameSite: 'Strict' }]);
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByLabel('Token').waitFor();
  t.same(await page.context().cookies(), []);
});

t.test('by an identity provider on another site: there and back, and in', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'headroom-console-log-in-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const port = await freePort();
  const { provider, access, service, app } = await logInWorld(directory, `http://localhost:${port}`);
  t.teardown(() => provider.close());
  await app.close();
  const server = await createHttpServer(service, { port, access });
  t.teardown(() => server.close());
  const { page } = await open(t, `http://localhost:${port}/`);
  await page.getByRole('link', { name: 'Log in with your identity provider' }).click();
  await guest(page, WEB.id).waitFor();
  t.equal(new URL(page.url()).pathname, '/', 'nothing of the answer stays in the address');
  t.match(await page.context().cookies(), [{ name: 'headroom', httpOnly: true, sameSite: 'Strict' }]);
  t.same(provider.refusals, []);
  await page.reload();
  await guest(page, WEB.id).waitFor();
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByLabel('Token').waitFor();
});
