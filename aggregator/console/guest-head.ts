/** Name, place and state of a guest. Input: its view; output: a heading kept up to date. */
import type { Vm } from '../client/words.ts';
import { el, setAttribute, setChildren, setText } from './dom.ts';

export interface GuestHead {
  element: HTMLElement;
  update(vm: Vm): void;
}

export function guestHead(level: 'h1' | 'h3', linked: boolean): GuestHead {
  const link = linked ? el('a') : el('span');
  const state = el('span', { class: 'state' });
  const place = el('span', { class: 'place' });
  const agent = el('span', { class: 'agent' });
  const labels = el('ul', { class: 'labels', 'aria-label': 'labels' });
  let shownLabels = '';
  return {
    element: el('div', { class: 'guest-head' }, el(level, {}, link), state, place, agent, labels),
    update(vm) {
      setText(link, vm.name);
      if (linked) setAttribute(link, 'href', `#/vm/${vm.id}`);
      setText(state, vm.state);
      setAttribute(state, 'class', `state state-${vm.state}`);
      setText(place, `on ${vm.host}`);
      const { online, defined } = vm.vcpus ?? { online: null, defined: 0 };
      const vcpus = online === null ? '' : `, ${online} of ${defined} vCPUs online`;
      setText(agent, `${vm.guestAgent ? 'with guest agent' : 'no guest agent'}${vcpus}`);
      const pairs = Object.entries(vm.labels).map(([name, value]) => (value === '' ? name : `${name}: ${value}`));
      if (pairs.join() === shownLabels) return;
      shownLabels = pairs.join();
      setChildren(
        labels,
        pairs.map((pair) => el('li', {}, pair)),
      );
    },
  };
}
