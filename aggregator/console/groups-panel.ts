/**
 * Groups of VMs: how many serve and how many should, why, and each member of Headroom's making on its way in or out; what they are
 * made from, and how long that takes. Input: groups and templates; output: a panel kept up to date.
 */
import type { Group, Template } from '../client/words.ts';
import { serverNowMs } from './api.ts';
import { el, KeyedList, setChildren, setText } from './dom.ts';
import { amount, plural, span } from './format.ts';

/** More members than this are told as a number. */
const MEMBERS_MAX = 12;

export interface GroupsPanel {
  element: HTMLElement;
  update(groups: readonly Group[], templates: readonly Template[]): void;
}

function groupItem(): { element: HTMLElement; update: (group: Group) => void } {
  const name = el('h3');
  const state = el('p', { class: 'host-state' });
  const reason = el('p', { class: 'group-reason' });
  const notDone = el('p', { class: 'group-reason warn' });
  const members = el('ul', { class: 'steps' });
  return {
    element: el('li', { class: 'group' }, el('div', { class: 'host-head' }, name, state), reason, notDone, members),
    update(group) {
      setText(name, group.name);
      setText(state, sizeText(group));
      setText(reason, group.reason);
      notDone.hidden = group.notDone === null;
      setText(notDone, group.notDone === null ? '' : `Not done: ${group.notDone}.`);
      members.hidden = group.members.length === 0;
      setChildren(members, memberLines(group));
    },
  };
}

function sizeText({ serving, desired, min, max, bounds, mode }: Group): string {
  const wanted = desired === null ? 'size not decided yet' : `${desired} wanted`;
  const from = bounds === null ? `${min} to ${max}` : `${bounds.least} to ${bounds.most} (set by ${bounds.by})`;
  return `${serving} serving, ${wanted}, ${from} allowed, ${mode}`;
}

function memberLines({ members }: Group): HTMLElement[] {
  const lines = members
    .slice(0, MEMBERS_MAX)
    .map(({ name, host, phase, sinceMs, reason, failed }) =>
      el('li', {}, `${name} on ${host}: ${phase}${failed ? ' (failed)' : ''} for ${span(serverNowMs() - sinceMs)}. ${reason}`),
    );
  if (members.length > MEMBERS_MAX) lines.push(el('li', {}, `and ${members.length - MEMBERS_MAX} more`));
  return lines;
}

function templateText({ name, version, vcpus, memoryMiB, boots }: Template): string {
  const times = boots.map(({ host, p95Ms, boots: count }) => `ready within ${span(p95Ms)} on ${host} (${plural(count, 'boot')})`);
  const size = `${name}@${version}: ${plural(vcpus, 'vCPU')}, ${amount(memoryMiB, 'MiB')}`;
  return `${size}; ${times.length === 0 ? 'none was made of it yet' : times.join(', ')}`;
}

export function groupsPanel(): GroupsPanel {
  const list = el('ul', { class: 'groups' });
  const empty = el('p', { class: 'empty' });
  const summary = el('summary');
  const templateList = el('ul', { class: 'steps' });
  const details = el('details', {}, summary, templateList);
  const items = new KeyedList<Group>(list, groupItem);
  return {
    element: el(
      'section',
      { class: 'panel', 'aria-labelledby': 'groups-title' },
      el('h2', { id: 'groups-title' }, 'Groups'),
      list,
      empty,
      details,
    ),
    update(groups, templates) {
      items.show(groups, ({ name }) => name);
      empty.hidden = groups.length > 0;
      const missing = templates.length === 0 ? 'apply a template, then name a group' : 'name a group of one of these templates';
      setText(
        empty,
        `The policy names no group, so no VM is made or ended here. To have VMs made before their load comes, ${missing} in the policy.`,
      );
      details.hidden = templates.length === 0;
      setText(summary, plural(templates.length, 'template'));
      setChildren(
        templateList,
        templates.map((template) => el('li', {}, templateText(template))),
      );
    },
  };
}
