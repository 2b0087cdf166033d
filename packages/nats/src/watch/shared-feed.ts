/** The feed that all watchers of a bucket share: begun with the first, ended with the last, begun again when needed. */
import type { JetStreamApi } from '../jetstream/api.ts';
import { Feed, type FeedSource } from './feed.ts';
import type { Item } from './mirror.ts';

export class SharedFeed<T extends Item> {
  readonly #api: JetStreamApi;
  readonly #source: FeedSource<T>;
  readonly #ending = new Set<Promise<void>>();
  #feed: Feed<T> | undefined;

  constructor(api: JetStreamApi, source: FeedSource<T>) {
    this.#api = api;
    this.#source = source;
  }

  current(): Feed<T> {
    this.#feed ??= this.#open();
    return this.#feed;
  }

  #open(): Feed<T> {
    const feed: Feed<T> = new Feed(this.#api, this.#source, () => {
      if (this.#feed === feed) this.#feed = undefined;
      const ending = feed.stop().finally(() => this.#ending.delete(ending));
      this.#ending.add(ending);
    });
    return feed;
  }

  async close(): Promise<void> {
    void this.#feed?.stop();
    await Promise.allSettled(this.#ending);
  }
}
