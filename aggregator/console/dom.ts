/** Making and changing elements. Text only ever enters as text, so nothing that a guest or a policy names can become markup. */

type Child = Node | string;
type Props = Record<string, string | number | boolean | null>;

export function el<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) setAttribute(element, name, value);
  element.append(...children);
  return element;
}

/** `false` and `null` remove it. Nothing is touched when nothing changed, so focus and selection stay. */
export function setAttribute(element: Element, name: string, value: string | number | boolean | null): void {
  if (value === false || value === null) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? '' : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows these elements in this order, keeping those that are there already. */
export function setChildren(parent: Element, children: readonly Element[]): void {
  for (const old of [...parent.children]) if (!children.includes(old)) old.remove();
  for (const [i, child] of children.entries()) if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] ?? null);
}

/** One element per key, made once and updated ever after. */
export class KeyedList<T> {
  readonly #parent: Element;
  readonly #make: (item: T) => { element: Element; update: (item: T) => void; remove?: () => void };
  readonly #made = new Map<string, { element: Element; update: (item: T) => void; remove?: () => void }>();

  constructor(parent: Element, make: (item: T) => { element: Element; update: (item: T) => void; remove?: () => void }) {
    this.#parent = parent;
    this.#make = make;
  }

  show(items: readonly T[], keyOf: (item: T) => string): void {
    const keys = new Set(items.map(keyOf));
    for (const [key, { remove }] of this.#made) {
      if (keys.has(key)) continue;
      remove?.();
      this.#made.delete(key);
    }
    const elements = items.map((item) => {
      const made = this.#made.get(keyOf(item)) ?? this.#make(item);
      this.#made.set(keyOf(item), made);
      made.update(item);
      return made.element;
    });
    setChildren(this.#parent, elements);
  }

  clear(): void {
    this.show([], () => '');
  }
}
