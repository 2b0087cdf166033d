/** A bucket that counts the writes that were tried through it, refused ones too. */
import type { Kv } from '@canopy/nats';

const WRITES: ReadonlySet<PropertyKey> = new Set(['create', 'update', 'put', 'delete']);

export class WriteCount {
  writes = 0;

  on(kv: Kv): Kv {
    return new Proxy(kv, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        if (!WRITES.has(name)) return value.bind(target);
        return (...args: unknown[]) => {
          this.writes += 1;
          return value.apply(target, args);
        };
      },
    });
  }
}
