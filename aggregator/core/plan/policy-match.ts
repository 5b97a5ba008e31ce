/** Does a rule mean this VM? Selector and VM in, yes or no out. All parts of a selector must hold; an empty one means every VM. */
import type { VmSnapshot } from './plan.ts';
import type { PolicySelector } from './policy-schema.ts';

export type MatchedVm = Pick<VmSnapshot, 'id' | 'name' | 'host' | 'labels'>;

/** Labels by which an administrator names a VM's template and class. */
const LABEL_TEMPLATE = 'template';
const LABEL_CLASS = 'class';

export function compileSelector(selector: PolicySelector): (vm: MatchedVm) => boolean {
  const tests: ((vm: MatchedVm) => boolean)[] = [];
  const add = (pattern: string | undefined, value: (vm: MatchedVm) => string | undefined): void => {
    if (pattern === undefined) return;
    const matches = glob(pattern);
    tests.push((vm) => {
      const text = value(vm);
      return text !== undefined && matches(text);
    });
  };
  add(selector.name, (vm) => vm.name);
  add(selector.host, (vm) => vm.host);
  add(selector.template, (vm) => label(vm, LABEL_TEMPLATE));
  add(selector.class, (vm) => label(vm, LABEL_CLASS));
  for (const [key, pattern] of Object.entries(selector.labels ?? {})) add(pattern, (vm) => label(vm, key));
  return (vm) => tests.every((test) => test(vm));
}

function label(vm: MatchedVm, key: string): string | undefined {
  return Object.hasOwn(vm.labels, key) ? vm.labels[key] : undefined;
}

function glob(pattern: string): (text: string) => boolean {
  if (!/[*?]/.test(pattern)) return (text) => text === pattern;
  // Greedy wildcards side by side would backtrack; one stands for any run of them.
  const source = pattern
    .replaceAll(/\*+/g, '*')
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  const expression = new RegExp(`^${source}$`, 's');
  return (text) => expression.test(text);
}
