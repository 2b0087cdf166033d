/**
 * One direction of a proxied connection: a queue of chunks, each due at a time, that may be held. Its limit is 1 MiB;
 * beyond it the source is not read, so the sender feels the back-pressure of a full network.
 */
import type { Socket } from 'node:net';
import type { Clock, Timer } from '@canopy/core';

const QUEUE_MAX_BYTES = 1024 * 1024;

interface Item {
  readonly dueAt: number;
  readonly deliver: () => void;
  readonly bytes: number;
}

export class Pump {
  delayMs: number;
  readonly #source: Socket;
  readonly #clock: Clock;
  readonly #queue: Item[] = [];
  #queuedBytes = 0;
  #held = false;
  #draining = false;
  #stopped = false;
  #timer: Timer | undefined;

  constructor(source: Socket, target: Socket, clock: Clock, delayMs: number) {
    this.#source = source;
    this.#clock = clock;
    this.delayMs = delayMs;
    source.on('data', (chunk: Buffer) => {
      this.#put(chunk.length, () => {
        // The target's own back-pressure ends up as ours: nothing more is delivered until it has drained.
        if (!target.destroyed && !target.write(chunk)) this.#waitForDrain(target);
      });
    });
    source.on('end', () => this.#put(0, () => target.end()));
  }

  hold(): void {
    this.#held = true;
  }

  /** Lets everything pass that is due. */
  release(): void {
    this.#held = false;
    this.#deliver();
  }

  /** The source broke: the other side hears of it in turn, after what was sent before. */
  breakOff(run: () => void): void {
    this.#put(0, run);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#queue.length = 0;
  }

  #put(bytes: number, deliver: () => void): void {
    if (this.#stopped) return;
    this.#queue.push({ dueAt: this.#clock.monotonic() + this.delayMs, deliver, bytes });
    this.#queuedBytes += bytes;
    if (this.#queuedBytes > QUEUE_MAX_BYTES) this.#source.pause();
    this.#deliver();
  }

  #deliver(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    while (!this.#held && !this.#draining && !this.#stopped) {
      const next = this.#queue[0];
      if (next === undefined) break;
      const waitMs = next.dueAt - this.#clock.monotonic();
      if (waitMs > 0) {
        this.#timer = this.#clock.timer(waitMs, () => this.#deliver());
        return;
      }
      this.#queue.shift();
      this.#queuedBytes -= next.bytes;
      next.deliver();
    }
    if (!this.#stopped && this.#queuedBytes <= QUEUE_MAX_BYTES && this.#source.isPaused()) this.#source.resume();
  }

  #waitForDrain(target: Socket): void {
    this.#draining = true;
    target.once('drain', () => {
      this.#draining = false;
      this.#deliver();
    });
  }
}
