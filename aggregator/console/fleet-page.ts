/** The overview: each guest with its charts, beside hosts, latest plan, groups and events. Input: the state; output: a page. */
import type { Vm } from '../client/words.ts';
import { el, KeyedList, setText } from './dom.ts';
import { eventList } from './event-list.ts';
import { groupsPanel } from './groups-panel.ts';
import { guestHead } from './guest-head.ts';
import { hostBars } from './host-bars.ts';
import type { FleetState } from './live.ts';
import type { Page } from './page.ts';
import { planPanel } from './plan-panel.ts';
import { resourcePanel } from './resource-panel.ts';
import { windowMs, windowPicker } from './time-window.ts';

/** Guests drawn at once; charts outside the view ask for nothing, but a page of thousands is no help either. */
const GUESTS_PER_PAGE = 12;
const CHART_HEIGHT_PX = 168;

function guestCard(): { element: HTMLElement; update: (vm: Vm) => void; remove: () => void } {
  const head = guestHead('h3', true);
  const panels = (['cpu', 'memory'] as const).map((resource) =>
    resourcePanel({ resource, heightPx: CHART_HEIGHT_PX, windowMs, headingLevel: 'h4' }),
  );
  const element = el(
    'li',
    { class: 'guest panel' },
    head.element,
    el('div', { class: 'resources' }, ...panels.map((panel) => panel.element)),
  );
  return {
    element,
    update(vm) {
      element.dataset.vm = vm.id;
      head.update(vm);
      for (const panel of panels) panel.update(vm);
    },
    remove() {
      for (const panel of panels) panel.remove();
    },
  };
}

class GuestList {
  readonly element: HTMLElement;
  readonly #filter = el('input', { type: 'search', placeholder: 'name, host, label, mode', 'aria-label': 'Filter guests', maxlength: 100 });
  readonly #list = el('ul', { class: 'guests' });
  readonly #empty = el('p', { class: 'empty panel' });
  readonly #more = el('button', { type: 'button', class: 'more' });
  readonly #items = new KeyedList<Vm>(this.#list, guestCard);
  readonly #picker = windowPicker(() => this.#show());
  #vms: readonly Vm[] = [];
  #known = false;
  #hosts = 0;
  #limit = GUESTS_PER_PAGE;

  constructor() {
    this.#filter.addEventListener('input', () => this.#show());
    this.#more.addEventListener('click', () => {
      this.#limit += GUESTS_PER_PAGE;
      this.#show();
    });
    const tools = el('div', { class: 'tools' }, el('h2', {}, 'Guests'), this.#filter, this.#picker.element);
    this.element = el('section', { class: 'guest-area', 'aria-label': 'Guests' }, tools, this.#empty, this.#list, this.#more);
  }

  update(state: FleetState): void {
    this.#vms = state.vms.toSorted((a, b) => a.name.localeCompare(b.name));
    this.#known = state.known;
    this.#hosts = state.hosts.length;
    this.#show();
  }

  remove(): void {
    this.#items.clear();
  }

  #show(): void {
    const wanted = this.#filter.value.trim().toLowerCase();
    const matching = wanted === '' ? this.#vms : this.#vms.filter((vm) => searchText(vm).includes(wanted));
    this.#items.show(matching.slice(0, this.#limit), ({ id }) => id);
    this.#picker.update();
    this.#filter.hidden = this.#vms.length <= 1;
    this.#more.hidden = matching.length <= this.#limit;
    setText(this.#more, `Show ${Math.min(GUESTS_PER_PAGE, matching.length - this.#limit)} more of ${matching.length}`);
    this.#empty.hidden = matching.length > 0;
    setText(this.#empty, this.#whyEmpty(wanted));
  }

  #whyEmpty(wanted: string): string {
    if (!this.#known) return 'Asking the aggregator…';
    if (this.#vms.length > 0) return `No guest matches “${wanted}”.`;
    if (this.#hosts > 0)
      return 'The connected hosts have told of no guest yet. A running guest appears with its host’s next inventory, within a minute.';
    return 'There are no guests because no host has connected. Start the agent on a host that runs libvirt, with this aggregator’s address; its guests appear within a minute and their charts fill at once, one sample a second.';
  }
}

function searchText(vm: Vm): string {
  const labels = Object.entries(vm.labels).flat();
  return [vm.name, vm.id, vm.host, vm.state, ...labels, ...Object.values(vm.resources).map(({ mode }) => mode)].join(' ').toLowerCase();
}

export function fleetPage(): Page {
  const guests = new GuestList();
  const hosts = hostBars();
  const plan = planPanel();
  const groups = groupsPanel();
  const events = eventList(
    'Events',
    'Nothing has happened since this aggregator started. Plans, changes and connections appear here as they happen.',
  );
  return {
    element: el(
      'div',
      { class: 'fleet' },
      el('h1', { class: 'unseen' }, 'Overview'),
      guests.element,
      el('aside', {}, hosts.element, plan.element, groups.element, events.element),
    ),
    update(state) {
      guests.update(state);
      hosts.update(state.hosts);
      plan.update(state.plan, state.vms);
      groups.update(state.groups, state.templates);
      events.update(state.events);
    },
    remove: () => guests.remove(),
  };
}
