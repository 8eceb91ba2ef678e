// Every word of the page in both languages, and how dates and times are written.

const WORDS = {
  en: {
    name: "everycent",
    skip: "Skip to the figures",
    live: "Live",
    lookBack: "Look back",
    navigation: "Pages",
    search: "Find a project",
    found: (n) => (n === 0 ? "No project is called that." : `${n} found`),
    language: "中文",
    languageLabel: "切换到中文",
    theme: { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" },
    givenInYear: (year) => `Given in ${year}`,
    donations: (n) => (n === "1" ? "1 donation" : `${n} donations`),
    countedOnce: (n) => `in ${n === "1" ? "1 donation" : `${n} donations`}, every cent counted once`,
    today: "Today",
    month: "This month",
    year: "This year",
    hour: "This hour",
    all: "All time",
    notToday: (day) => `Nothing has been given today yet. What you see is the newest day with donations, ${day}.`,
    empty: "No donation has come yet. The first one will show here by itself.",
    minuteByMinute: "Minute by minute",
    hourByHour: "Hour by hour",
    dayByDay: "Last 60 days",
    monthByMonth: "By month",
    perMinute: "Yuan given in each minute",
    perHour: "Yuan given in each hour",
    chartAbout: (label, from, to, most, at) => `${label}, ${from} to ${to}; the most, ${most}, at ${at}`,
    asTable: "The same as a table",
    time: "Time",
    amount: "Amount",
    number: "Donations",
    topProjects: "Where it goes",
    topOf: { top_day: "Today", top_year: "This year" },
    topOfDay: "Where it went",
    released: "The minutes and hours of this day are no longer kept; its total stands.",
    minutesReleased: "The minutes of this day are no longer kept; its hours are.",
    nothingThatDay: "Nothing was given on this day.",
    previousDay: "Day before",
    nextDay: "Day after",
    chooseDay: "Choose a day",
    givenOn: (day) => `Given on ${day}`,
    goal: (share, goal) => `${share}% of ${goal}`,
    goalLabel: "Share of the goal",
    history: "History",
    notFound: "There is no such project or day.",
    nowhere: "There is no such page",
    toFirst: "See what was given this year",
    state: {
      loading: () => "Connecting …",
      rebuilding: (share) => `The server has just started and reads the totals back: ${share}%. No figures until then.`,
      live: (time) => `Live, as of ${time}`,
      connected: () => "Connected; how fresh the figures are will be known in a moment",
      stale: (time, behind) => `As of ${time}; the stream is ${behind} behind`,
      disconnected: (time) => (time ? `Disconnected. As of ${time}; trying again …` : "Disconnected; trying again …"),
    },
    seconds: (n) => `${n} s`,
    minutes: (n) => `${n} min`,
    hours: (n) => `${n} h`,
    yourDonation: "Your donation",
    gaveTo: (amount, project) => `${amount} to ${project}`,
    givenTo: (project) => `to ${project}`,
    project: "Project",
    givenAt: "Given at",
    donationId: "Donation",
    orderId: "Order",
    receipt: "Your receipt",
    receiptAbout: "A small file that proves that this donation stands in the public ledger, unchanged. You can check it without trusting us.",
    download: "Download the receipt",
    verify: "Check a receipt",
    linkKeep: (day) => `Whoever has this link sees this page: keep it to yourself. It works until ${day}.`,
    linkRefused: "This link doesn't work: it is incomplete, was changed, or its time is over. Ask for a new one where you got it.",
    linkLater: "The donation can't be shown just now. Please try again in a minute.",
    about: "Each figure is the sum of finished orders' donations, read from the stream as it is. A figure shown never goes down.",
    api: "API",
  },
  zh: {
    name: "每一分",
    skip: "跳到数字",
    live: "实时",
    lookBack: "回看",
    navigation: "页面",
    search: "查找项目",
    found: (n) => (n === 0 ? "没有这个名字的项目。" : `找到 ${n} 个`),
    language: "English",
    languageLabel: "Switch to English",
    theme: { auto: "主题：跟随系统", light: "主题：浅色", dark: "主题：深色" },
    givenInYear: (year) => `${year} 年捐出`,
    donations: (n) => `${n} 笔`,
    countedOnce: (n) => `${n} 笔捐款，每一分钱只计一次`,
    today: "今天",
    month: "本月",
    year: "今年",
    hour: "本小时",
    all: "累计",
    notToday: (day) => `今天还没有捐款。这里显示的是最近有捐款的一天：${day}。`,
    empty: "还没有捐款。第一笔到来时会自动出现在这里。",
    minuteByMinute: "每一分钟",
    hourByHour: "每一小时",
    dayByDay: "最近 60 天",
    monthByMonth: "按月",
    perMinute: "每分钟捐出的金额（元）",
    perHour: "每小时捐出的金额（元）",
    chartAbout: (label, from, to, most, at) => `${label}，${from} 至 ${to}，最多 ${most}（${at}）`,
    asTable: "用表格看",
    time: "时间",
    amount: "金额",
    number: "笔数",
    topProjects: "去向何处",
    topOf: { top_day: "今天", top_year: "今年" },
    topOfDay: "去向何处",
    released: "这一天的分钟和小时明细已不再保留，当日合计不变。",
    minutesReleased: "这一天的分钟明细已不再保留，小时明细仍在。",
    nothingThatDay: "这一天没有捐款。",
    previousDay: "前一天",
    nextDay: "后一天",
    chooseDay: "选择日期",
    givenOn: (day) => `${day}捐出`,
    goal: (share, goal) => `${goal} 的 ${share}%`,
    goalLabel: "目标完成比例",
    history: "历史",
    notFound: "没有这个项目或日期。",
    nowhere: "没有这个页面",
    toFirst: "查看今年的捐款",
    state: {
      loading: () => "正在连接……",
      rebuilding: (share) => `服务刚刚启动，正在读回合计：${share}%。读完之前不显示数字。`,
      live: (time) => `实时，截至 ${time}`,
      connected: () => "已连接，片刻后可知数字有多新",
      stale: (time, behind) => `截至 ${time}，数据流落后 ${behind}`,
      disconnected: (time) => (time ? `连接已断开。截至 ${time}，正在重连……` : "连接已断开，正在重连……"),
    },
    seconds: (n) => `${n} 秒`,
    minutes: (n) => `${n} 分钟`,
    hours: (n) => `${n} 小时`,
    yourDonation: "您的捐赠",
    gaveTo: (amount, project) => `${amount}，捐给${project}`,
    givenTo: (project) => `捐给${project}`,
    project: "项目",
    givenAt: "时间",
    donationId: "捐赠",
    orderId: "订单",
    receipt: "您的凭证",
    receiptAbout: "一个小文件，证明这笔捐赠记在公开账本里，没有被改动。检查它不需要相信我们。",
    download: "下载凭证",
    verify: "检查凭证",
    linkKeep: (day) => `拿到这个链接的人都能看到本页，请不要转给别人。有效期到 ${day}。`,
    linkRefused: "这个链接无效：不完整、被改动过，或者已经过期。请到取得链接的地方再要一个。",
    linkLater: "现在无法显示这笔捐赠，请过一分钟再试。",
    about: "每个数字都是已完成订单的捐款之和，直接来自数据流。显示过的数字不会变小。",
    api: "接口",
  },
};

/** The words of the page's language. */
export const words = () => WORDS[document.documentElement.lang.startsWith("zh") ? "zh" : "en"];

const format = (ms, zone, options) =>
  new Intl.DateTimeFormat(document.documentElement.lang === "en" ? "en-GB" : "zh-CN", {
    timeZone: zone,
    hourCycle: "h23",
    ...options,
  }).format(ms);

/** `12:03:10` */
export const clock = (ms, zone) =>
  format(ms, zone, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
/** `12:03` */
export const hourMinute = (ms, zone) => format(ms, zone, { hour: "2-digit", minute: "2-digit" });
/** `11 November 2020` */
export const longDay = (ms, zone) => format(ms, zone, { year: "numeric", month: "long", day: "numeric" });
/** `11 November 2020, 12:03:10`; in Chinese without the comma. */
export const moment = (ms, zone) =>
  `${longDay(ms, zone)}${document.documentElement.lang === "en" ? "," : ""} ${clock(ms, zone)}`;
/** `11 Nov` */
export const shortDay = (ms, zone) => format(ms, zone, { month: "short", day: "numeric" });
/** `Nov 2020` */
export const month = (ms, zone) => format(ms, zone, { year: "numeric", month: "short" });

/** How long, in the unit that fits. */
export function span(ms) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 120) return words().seconds(seconds);
  return seconds < 7200 ? words().minutes(Math.floor(seconds / 60)) : words().hours(Math.floor(seconds / 3600));
}
