// Every word of the page in both languages.

const WORDS = {
  en: {
    title: "Check a donation's receipt",
    lead: "A receipt proves that a donation stands in the public ledger, unchanged. Here you check it yourself.",
    privacy: "Nothing that you put in leaves this page: it can't use the network. Save it, and it works offline.",
    language: "中文",
    languageLabel: "切换到中文",
    theme: { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" },
    keysTitle: "The ledger's public key",
    keysBuiltIn: (n) => `${n === 1 ? "One key is" : `${n} keys are`} built into this page. Compare with a second place, such as a newspaper:`,
    keysOwn: "Other keys, one a line (name+id+base64)",
    keysHelp: "Take the key from where the programme publishes it, not from who gave you the receipt.",
    receiptTitle: "Your receipt",
    choose: "Choose the file (.tlog-proof), or drop it here",
    paste: "Or paste its text",
    held: (name, bytes) => `${name}, ${bytes} bytes`,
    pasted: "The pasted text",
    buyerTitle: "Is it yours?",
    buyer: "Your buyer id (may stay empty)",
    buyerHelp: "With it the page checks that the donation is yours. It stays on this device.",
    check: "Check the receipt",
    needReceipt: "First choose the file of the receipt, or paste its text.",
    needKey: "First put in the ledger's public key.",
    badKey: (text) => `This is not a verifier key of the form name+id+base64: ${text}`,
    unreadable: "The file can't be read.",
    unsupported: "This browser can't check signatures (Ed25519), so nothing can be said of the receipt. Use a newer one: Chrome or Edge 137, Firefox 129, Safari 17.",
    insecure: "Over a plain http address browsers give a page no means to check signatures. Save this page and open the saved file, or use https.",
    valid: "The receipt is right, and the donation is this buyer's.",
    validButDonor: "The receipt is right. Whose donation it is was not checked, as no buyer id was given.",
    invalid: (promise) => `NOT VALID: the promise “${promise}” fails.`,
    promisesTitle: "The promises, in the order in which they are checked",
    promise: { form: "form", signature: "signature", witnesses: "witnesses", inclusion: "inclusion", entry: "entry", donor: "donor" },
    state: { holds: "holds", fails: "fails", skipped: "not checked" },
    notReached: "a promise before it fails",
    holds: {
      form: () => "a receipt, written as it must be",
      signature: ({ origin, id }) => `signed by ${origin} (key ${id})`,
      witnesses: ({ witnesses }) => `also signed by ${witnesses}`,
      inclusion: ({ index, size }) => `leaf ${index} of the ${size} that were signed`,
      entry: () => "a donation in its one right form, with its own number",
      donor: () => "the donation is this buyer's",
    },
    donorSkipped: "put in your buyer id to check it",
    witnessesSkipped: "put in witnesses' keys, too, to check whether they have signed",
    strangers: (n, names) => `also bears ${n === 1 ? "a signature" : `${n} signatures`} whose keys weren't given: ${names}`,
    alone: "As no independent witness was checked, it doesn't prove that others are shown the same ledger.",
    donation: { id: "Donation", project: "Project", amount: "Amount", at: "Given at", order: "Order" },
    why: {
      tooLong: () => "The file is too long for a receipt.",
      noReceipt: () => "This is not a receipt: it doesn't begin as one.",
      damaged: ({ place }) => `The receipt is damaged (${place}).`,
      doesNotFit: ({ name, id }) => `The signature of ${name} (key ${id}) doesn't fit: what it signed was changed.`,
      notByOurs: ({ signers, ours }) => `It was signed by ${signers}, and not by ${ours || "a log's key"}.`,
      noCheckpoint: () => "What was signed is not a state of a ledger.",
      otherLog: ({ name, origin }) => `The key of ${name} has signed for ${origin}.`,
      noLeaf: ({ index, size }) => `There is no leaf ${index} in a ledger of ${size}.`,
      proofTooLong: () => "The proof holds more hashes than the tree has levels.",
      proofTooShort: () => "The proof holds fewer hashes than the tree has levels.",
      otherRoot: () => "The donation, as it stands here, is not in the ledger that was signed.",
      noDonation: () => "The entry is not a donation in its one right form.",
      otherNumber: ({ index, seq }) => `Leaf ${index} says of itself that it is number ${seq}.`,
      notTheirs: ({ buyerId }) => `The donation is not that of the buyer ${buyerId}, or the salt was changed.`,
    },
  },
  zh: {
    title: "检查捐赠凭证",
    lead: "凭证证明一笔捐赠记在公开账本里，没有被改动。您可以在这里亲自检查。",
    privacy: "您填写的内容不会离开本页：本页不能使用网络。也可以把它保存下来，离线使用。",
    language: "English",
    languageLabel: "Switch to English",
    theme: { auto: "主题：跟随系统", light: "主题：浅色", dark: "主题：深色" },
    keysTitle: "账本的公钥",
    keysBuiltIn: (n) => `本页内置了 ${n} 个公钥。请到另一个地方（例如报纸）再核对一次：`,
    keysOwn: "其他公钥，每行一个（名称+编号+字母数字）",
    keysHelp: "请从项目公布的地方取得公钥，不要用给您凭证的人一起给的公钥。",
    receiptTitle: "您的凭证",
    choose: "选择文件（.tlog-proof），或者拖到这里",
    paste: "或者粘贴文件内容",
    held: (name, bytes) => `${name}，${bytes} 字节`,
    pasted: "粘贴的内容",
    buyerTitle: "是您的捐赠吗？",
    buyer: "您的买家编号（可以不填）",
    buyerHelp: "填写后会检查这笔捐赠是不是您的。编号只留在本设备上。",
    check: "检查凭证",
    needReceipt: "请先选择凭证文件，或者粘贴它的内容。",
    needKey: "请先填写账本的公钥。",
    badKey: (text) => `这不是“名称+编号+字母数字”形式的公钥：${text}`,
    unreadable: "无法读取这个文件。",
    unsupported: "这个浏览器不能检查签名（Ed25519），所以无法判断凭证。请使用更新的浏览器：Chrome 或 Edge 137、Firefox 129、Safari 17。",
    insecure: "通过普通 http 地址打开时，浏览器不允许网页检查签名。请把本页保存下来再打开，或者使用 https。",
    valid: "凭证成立，这笔捐赠属于这位买家。",
    validButDonor: "凭证成立。没有填写买家编号，所以没有检查是谁的捐赠。",
    invalid: (promise) => `凭证不成立（NOT VALID）：“${promise}”这一项不成立。`,
    promisesTitle: "各项承诺，按检查的顺序",
    promise: { form: "格式", signature: "签名", witnesses: "见证", inclusion: "收录", entry: "内容", donor: "捐赠人" },
    state: { holds: "成立", fails: "不成立", skipped: "未检查" },
    notReached: "前面有一项不成立",
    holds: {
      form: () => "是一份凭证，写法正确",
      signature: ({ origin, id }) => `由 ${origin} 签名（公钥 ${id}）`,
      witnesses: ({ witnesses }) => `${witnesses} 也签了名`,
      inclusion: ({ index, size }) => `签名的账本共 ${size} 条，这是第 ${index} 条（从 0 数起）`,
      entry: () => "是一笔捐赠，写法正确，编号相符",
      donor: () => "这笔捐赠属于这位买家",
    },
    donorSkipped: "填写您的买家编号即可检查",
    witnessesSkipped: "同时填写见证人的公钥，即可检查他们是否签名",
    strangers: (n, names) => `另有 ${n} 个签名，它们的公钥没有给出：${names}`,
    alone: "没有检查独立见证人，所以不能证明别人看到的是同一个账本。",
    donation: { id: "捐赠", project: "项目", amount: "金额", at: "时间", order: "订单" },
    why: {
      tooLong: () => "文件太长，不是凭证。",
      noReceipt: () => "这不是凭证：开头不对。",
      damaged: ({ place }) => `凭证已损坏（${place}）。`,
      doesNotFit: ({ name, id }) => `${name}（公钥 ${id}）的签名不相符：被签名的内容改动过。`,
      notByOurs: ({ signers, ours }) => `签名的是 ${signers}，不是 ${ours || "账本的公钥"}。`,
      noCheckpoint: () => "被签名的不是账本的状态。",
      otherLog: ({ name, origin }) => `${name} 的公钥签的是 ${origin}。`,
      noLeaf: ({ index, size }) => `共 ${size} 条的账本里没有第 ${index} 条。`,
      proofTooLong: () => "证明里的哈希比树的层数多。",
      proofTooShort: () => "证明里的哈希比树的层数少。",
      otherRoot: () => "这里写的这笔捐赠不在签名的账本里。",
      noDonation: () => "这一条不是写法正确的捐赠。",
      otherNumber: ({ index, seq }) => `第 ${index} 条自称是第 ${seq} 条。`,
      notTheirs: ({ buyerId }) => `这笔捐赠不属于买家 ${buyerId}，或者盐被改动过。`,
    },
  },
};

export const words = () => WORDS[document.documentElement.lang.startsWith("zh") ? "zh" : "en"];

const grouped = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ",");

/** Fen, a BigInt: `¥12,345.67`. */
export function yuan(fen) {
  const amount = fen < 0n ? -fen : fen;
  return `${fen < 0n ? "-" : ""}¥${grouped(String(amount / 100n))}.${String(amount % 100n).padStart(2, "0")}`;
}

/** Milliseconds since the epoch, a BigInt, in this device's zone. What no calendar holds stays a number. */
export function moment(ms) {
  if (ms < -8640000000000000n || ms > 8640000000000000n) return String(ms);
  const parts = { year: "numeric", month: "long", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" };
  const language = document.documentElement.lang === "en" ? "en-GB" : "zh-CN";
  const format = new Intl.DateTimeFormat(language, { ...parts, hourCycle: "h23", timeZoneName: "short" });
  return format.format(Number(ms));
}
