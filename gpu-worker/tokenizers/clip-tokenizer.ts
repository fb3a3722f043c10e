import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ServiceError } from "#shared/errors/service-error.ts";

/** A special token is a string, or an object with the string in `content`, depending on who wrote the file. */
const TokenText = z
  .union([z.string(), z.looseObject({ content: z.string() })])
  .transform((token) => (typeof token === "string" ? token : token.content));

const TokenizerConfig = z.looseObject({
  model_max_length: z.int().min(2).max(4096).default(77),
  bos_token: TokenText.default("<|startoftext|>"),
  eos_token: TokenText.default("<|endoftext|>"),
  unk_token: TokenText.default("<|endoftext|>"),
  pad_token: TokenText.default("<|endoftext|>"),
});

const Vocabulary = z.record(z.string(), z.int().nonnegative());

/** A prompt as token ids. */
export interface Encoded {
  /** As many ids as the model takes: start, text, end, padding. */
  ids: number[];
  /** Text tokens that did not fit and were left out. */
  dropped: number;
  /** Their text as transformers decodes it; "" when all fitted. */
  removed: string;
}

/** CLIP's split of a text into words, https://github.com/openai/CLIP simple_tokenizer.py. */
const WORDS = /<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu;

/**
 * Byte-level BPE of CLIP. Ids equal those of transformers 5 `CLIPTokenizer`, which normalises to NFC, makes each run
 * of white space one space and lower-cases code point by code point (so no final sigma, no locale).
 *
 * A pad token that is text (SDXL's second tokenizer pads with "!") is special there, and so here: "!" anywhere in a
 * prompt is the pad id, without end-of-word mark.
 */
export class ClipTokenizer {
  readonly maxLength: number;
  readonly #vocabulary: ReadonlyMap<string, number>;
  /** The vocabulary the other way round, made when it is needed. */
  #texts: ReadonlyMap<number, string> | undefined;
  /** Rank of each mergeable pair, "left right": the lower, the earlier. */
  readonly #ranks: ReadonlyMap<string, number>;
  readonly #special: ReadonlyMap<string, number>;
  readonly #specialPattern: RegExp;
  readonly #start: number;
  readonly #end: number;
  readonly #pad: number;
  readonly #unknown: number;
  readonly #words = new Map<string, readonly number[]>();

  /** @throws ServiceError INTERNAL when a special token isn't in the vocabulary. */
  constructor(vocabulary: Record<string, number>, merges: readonly string[], config: unknown) {
    const parsed = TokenizerConfig.parse(config);
    this.maxLength = parsed.model_max_length;
    this.#vocabulary = new Map(Object.entries(vocabulary));
    this.#ranks = new Map(merges.map((pair, rank) => [pair, rank]));
    const id = (token: string): number => {
      const found = this.#vocabulary.get(token);
      if (found === undefined)
        throw new ServiceError("INTERNAL", `vocab.json has no ${token}, which tokenizer_config.json names`);
      return found;
    };
    this.#start = id(parsed.bos_token);
    this.#end = id(parsed.eos_token);
    this.#pad = id(parsed.pad_token);
    this.#unknown = id(parsed.unk_token);
    const special = [parsed.bos_token, parsed.eos_token, parsed.unk_token, parsed.pad_token];
    this.#special = new Map(special.map((token) => [token, id(token)]));
    // Longest first: no special token hides a longer one that begins like it.
    const alternatives = [...this.#special.keys()].sort((a, b) => b.length - a.length).map(RegExp.escape);
    this.#specialPattern = new RegExp(`(${alternatives.join("|")})`);
  }

  /**
   * Reads `vocab.json`, `merges.txt` and `tokenizer_config.json`.
   * @throws ServiceError INTERNAL naming the file that is missing or wrong.
   */
  static async load(folder: string): Promise<ClipTokenizer> {
    try {
      const [vocabulary, merges, config] = await Promise.all(
        ["vocab.json", "merges.txt", "tokenizer_config.json"].map((file) => readFile(join(folder, file), "utf8")),
      );
      const pairs = merges!.split("\n").filter((line) => line !== "" && !line.startsWith("#version"));
      return new ClipTokenizer(Vocabulary.parse(JSON.parse(vocabulary!)), pairs, JSON.parse(config!));
    } catch (error) {
      if (ServiceError.is(error)) throw error;
      throw new ServiceError("INTERNAL", `the tokenizer in ${folder} doesn't load: ${String(error)}`, { cause: error });
    }
  }

  /** Ids of `text` between start and end token, cut and padded to {@link maxLength}. */
  encode(text: string): Encoded {
    const tokens = this.#tokens(text);
    const room = this.maxLength - 2;
    const ids = [this.#start, ...tokens.slice(0, room), this.#end];
    while (ids.length < this.maxLength) ids.push(this.#pad);
    return { ids, dropped: Math.max(tokens.length - room, 0), removed: this.#decode(tokens.slice(room)) };
  }

  /** transformers' `decode`: a space after each end of a word, and what isn't UTF-8 as U+FFFD. */
  #decode(ids: readonly number[]): string {
    if (ids.length === 0) return "";
    this.#texts ??= new Map(Array.from(this.#vocabulary, ([text, id]) => [id, text]));
    const bytes: number[] = [];
    for (const id of ids) {
      const text = this.#texts.get(id)!;
      const ends = text.endsWith("</w>");
      for (const character of ends ? text.slice(0, -4) : text) bytes.push(BYTES.get(character)!);
      if (ends) bytes.push(SPACE);
    }
    return new TextDecoder().decode(Uint8Array.from(bytes)).trim();
  }

  #tokens(text: string): number[] {
    const ids: number[] = [];
    for (const part of text.toWellFormed().split(this.#specialPattern)) {
      const special = this.#special.get(part);
      if (special !== undefined) ids.push(special);
      else for (const word of wordsOf(part)) for (const id of this.#word(word)) ids.push(id);
    }
    return ids;
  }

  /** Ids of one word; remembered, because prompts repeat words, up to a bound, because callers choose the words. */
  #word(word: string): readonly number[] {
    const known = this.#words.get(word);
    if (known) return known;
    const ids = this.#merge(bytesOf(word)).map((part) => this.#vocabulary.get(part) ?? this.#unknown);
    if (this.#words.size < 10_000 && word.length < 50) this.#words.set(word, ids);
    return ids;
  }

  /** Joins neighbours, best rank first and leftmost among equals, until no pair is in the merges. */
  #merge(parts: string[]): string[] {
    while (parts.length > 1) {
      let best = Number.POSITIVE_INFINITY;
      let pair = "";
      for (let i = 0; i + 1 < parts.length; i++) {
        const candidate = `${parts[i]} ${parts[i + 1]}`;
        const rank = this.#ranks.get(candidate);
        if (rank !== undefined && rank < best) [best, pair] = [rank, candidate];
      }
      if (pair === "") break;
      const merged: string[] = [];
      for (let i = 0; i < parts.length; i++) {
        const joins = i + 1 < parts.length && `${parts[i]} ${parts[i + 1]}` === pair;
        merged.push(joins ? parts[i]! + parts[++i]! : parts[i]!);
      }
      parts = merged;
    }
    return parts;
  }
}

function* wordsOf(text: string): Generator<string> {
  const clean = Array.from(text.normalize("NFC").replace(/\p{White_Space}+/gu, " "), (one) => one.toLowerCase());
  for (const [word] of clean.join("").matchAll(WORDS)) {
    // A special token that only lower-casing made is text: the byte-level step splits it once more.
    if (word.startsWith("<|") && word.endsWith("text|>")) yield* ["<|", word.slice(2, -2), "|>"];
    else yield word;
  }
}

/** The UTF-8 bytes of a word as CLIP's printable stand-ins, the last one marked as the end of the word. */
function bytesOf(word: string): string[] {
  const parts = Array.from(new TextEncoder().encode(word), (byte) => BYTE_CHARACTERS[byte]!);
  parts[parts.length - 1] += "</w>";
  return parts;
}

/** GPT-2's table: printable Latin-1 bytes stand for themselves, the other 68 for code points from 256 up. */
const BYTE_CHARACTERS: readonly string[] = (() => {
  let next = 256;
  const printable = (byte: number): boolean => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
})();

/** {@link BYTE_CHARACTERS} the other way round. */
const BYTES: ReadonlyMap<string, number> = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]));
const SPACE = 32;
