/**
 * Death of a simulated process. What outlives it (hypervisor, disk, stores) is handed to it through a veil: once it is dead,
 * answers under way never arrive, calls are not made and listeners hear nothing, as after kill -9. Input: the thing and a
 * life; output: the same thing for as long as the life lasts.
 */
export interface Life {
  alive: boolean;
}

const NEVER = new Promise<never>(() => undefined);

export function mortal<T extends object>(thing: T, life: Life): T {
  const veiled = new Map<PropertyKey, Listener>();
  const answered = answersOf(life);
  return new Proxy(thing, {
    get(target, name) {
      // What was a method once stays one.
      const known = veiled.get(name);
      if (known !== undefined) return known;
      const value = Reflect.get(target, name, target) as unknown;
      if (typeof value !== 'function') return value;
      const veil = veilOf(target, name, life, answered);
      veiled.set(name, veil);
      return veil;
    },
  });
}

function veilOf(target: object, name: PropertyKey, life: Life, answered: Answered): Listener {
  return (...args) => {
    if (!life.alive) return NEVER;
    for (let i = 0; i < args.length; i++) if (typeof args[i] === 'function') args[i] = whileAlive(args[i] as Listener, life);
    const result = (Reflect.get(target, name, target) as Listener).apply(target, args);
    return result instanceof Promise ? answered(result) : result;
  };
}

type Listener = (...args: unknown[]) => unknown;

function whileAlive(listener: Listener, life: Life): Listener {
  return (...args) => (life.alive ? listener(...args) : undefined);
}

type Answered = (answer: Promise<unknown>) => Promise<unknown>;

/** Made once for a life: there are hundreds of answers a second. */
function answersOf(life: Life): Answered {
  const value = (given: unknown): unknown => (life.alive ? given : NEVER);
  const failure = (error: unknown): unknown => {
    if (life.alive) throw error;
    return NEVER;
  };
  return (answer) => answer.then(value, failure);
}
