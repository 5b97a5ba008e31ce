/** The console: takes the state as it comes to the page the address names. Input: the address; output: the document. */
import { auditPage } from './audit-page.ts';
import { el, setAttribute, setChildren, setText } from './dom.ts';
import { fleetPage } from './fleet-page.ts';
import { capacity, clock, plural } from './format.ts';
import { type FleetState, Live } from './live.ts';
import { logInPage, offerLogOut } from './log-in.ts';
import { mapPage } from './map-page.ts';
import type { Page } from './page.ts';
import { planPage } from './plan-page.ts';
import { policyPage } from './policy-page.ts';
import { resumePage } from './resume-page.ts';
import { savingsPage } from './savings-page.ts';
import { fitWindow } from './time-window.ts';
import { vmPage } from './vm-page.ts';

const byId = (id: string): HTMLElement => {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element "${id}"`);
  return found;
};

const CONNECTION_TEXT: Readonly<Record<FleetState['connection'], string>> = {
  connecting: 'Connecting',
  live: 'Live',
  polling: 'Polling',
  lost: 'No answer',
  locked: 'Locked',
};

const PAGES: Readonly<Record<string, () => Page>> = {
  '#/plan': planPage,
  '#/policies': policyPage,
  '#/savings': savingsPage,
  '#/resume': resumePage,
  '#/map': mapPage,
  '#/audit': auditPage,
};

const live = new Live();
let page: Page | null = null;

function route(): void {
  page?.remove();
  const vm = /^#\/vm\/([0-9a-f-]{36})$/.exec(location.hash)?.[1];
  page = vm === undefined ? (PAGES[location.hash] ?? fleetPage)() : vmPage(vm);
  const here = vm === undefined && PAGES[location.hash] !== undefined ? location.hash : '#/';
  for (const link of byId('pages').querySelectorAll('a'))
    setAttribute(link, 'aria-current', link.getAttribute('href') === here ? 'page' : null);
  setChildren(byId('content'), [page.element]);
  page.update(live.state);
  window.scrollTo(0, 0);
}

function showTop(state: FleetState): void {
  const connection = byId('connection');
  setText(connection, CONNECTION_TEXT[state.connection]);
  setAttribute(connection, 'class', `connection connection-${state.connection}`);
  setText(byId('summary'), summaryText(state));
  setText(
    byId('about'),
    state.status === null ? '' : `Headroom ${state.status.version}, running since ${clock(state.status.startedAtMs, state.status.nowMs)}`,
  );
  const banners = bannersOf(state);
  const area = byId('banners');
  if (banners.join('\n') === area.dataset.shown) return;
  area.dataset.shown = banners.join('\n');
  setChildren(
    area,
    banners.map((text) => el('p', { class: 'banner' }, text)),
  );
}

function summaryText({ known, hosts, vms, more }: FleetState): string {
  if (!known) return '';
  if (hosts.length === 0) return 'no hosts yet';
  const auto = vms.filter(({ resources }) =>
    Object.values(resources).some(({ mode, eligible }) => mode === 'auto' && eligible.allowed),
  ).length;
  const granted = hosts.reduce((sum, host) => sum + host.allocatedCores, 0);
  const cores = hosts.reduce((sum, host) => sum + host.cpuCores, 0);
  const guests = more ? `more than ${plural(vms.length, 'guest')}` : plural(vms.length, 'guest');
  return `${plural(hosts.length, 'host')} · ${guests}, ${auto} in auto · ${granted.toFixed(1)} of ${capacity(cores)} cores granted`;
}

function bannersOf(state: FleetState): string[] {
  const banners: string[] = [];
  if (state.connection === 'lost') {
    const since = state.lostSinceMs === null ? '' : ` since ${clock(state.lostSinceMs, Date.now())}`;
    banners.push(
      `The aggregator does not answer${since} (${state.error ?? 'no reason'}). ${state.known ? 'What is shown is from then. ' : ''}Guests keep what they have, and hosts fall back safely on their own. It is asked again every two seconds.`,
    );
  } else if (state.status?.ready === false) banners.push(`Not deciding yet: ${state.status.reason}.`);
  if (state.status?.killSwitch)
    banners.push(
      'The kill switch of the fleet is engaged: nothing is changed, and what is in force stays. To go on: headroom kill-switch off.',
    );
  for (const problem of state.status?.seriesStore.problems ?? []) banners.push(`Series store: ${problem}.`);
  if (state.more) banners.push(`Only the first ${state.vms.length} guests are shown here; the command line lists all: headroom vm list.`);
  return banners;
}

let locked = false;

live.listen((state) => {
  if (state.connection === 'locked') {
    if (!locked) setChildren(byId('content'), [logInPage()]);
    locked = true;
    showTop(state);
    return;
  }
  const steps = state.vms.flatMap(({ resources }) => Object.values(resources).map(({ forecast }) => forecast?.stepMs ?? 0));
  const longest = steps.reduce((a, b) => Math.max(a, b), 0);
  fitWindow(longest > 0 ? longest : null);
  showTop(state);
  page?.update(state);
});
window.addEventListener('hashchange', () => {
  route();
  byId('content').focus({ preventScroll: true });
});
offerLogOut(byId('pages'));
route();
live.start();
