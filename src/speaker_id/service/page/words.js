// Everything the page says, in every language it speaks: the same keys and {places} in each; a test holds them to it.

export const WORDS = {
  en: {
    title: "Who is speaking?", skip: "Skip to the task", language: "Language", tasks: "Tasks",
    key: "API key", keyHint: "Only needed where the service asks for one. It is forgotten when this page closes.",
    identify: "Identify", compare: "Compare", enrol: "Enrol", users: "Users",
    identifyLead: "Record somebody or drop a file: is it one of the people enrolled here?",
    compareLead: "Give two recordings: does the same person speak in both?",
    enrolLead: "Teach a voice: a name, and some seconds of that person speaking. Several recordings make it surer.",
    usersLead: "Everybody who is enrolled. Removing a user erases all voiceprints for good.",
    identifyGo: "Who is it?", compareGo: "Is it the same person?", enrolGo: "Enrol this voice",
    removeGo: "Erase for good", keep: "Keep", remove: "Remove", removeOne: "Remove {user}", more: "Show more",
    recording: "Recording", first: "First recording", second: "Second recording",
    record: "Record", stop: "Stop", choose: "Choose a file", again: "Clear", level: "Loudness",
    playback: "Listen to the recording", elapsed: "Recorded so far",
    empty: "Press Record and speak for about five seconds, or drop a sound file here.",
    recordingNow: "Recording. Speak as you usually do, then press Stop.", opening: "Reading the file…",
    good: "Sounds good: {seconds} s.", goodFile: "{name}: {seconds} s.", unseen: "{name}: the service will read it.",
    short: "Only {seconds} s: three or more make the answer surer.",
    quiet: "Very quiet: move closer to the microphone.", clipped: "Too loud, the sound is cut off: move away a little.",
    nothingHeard: "Nothing was recorded. Try again, and speak before you press Stop.",
    microphoneDenied: "The microphone is not allowed: allow it in the browser, or choose a file.",
    microphoneMissing: "No microphone was found: connect one, or choose a file.",
    microphoneFailed: "The microphone cannot be used ({reason}): choose a file instead.",
    microphoneUnsafe: "Browsers give the microphone only to https pages and this computer itself: choose a file.",
    name: "Name", consent: "This person agrees that a voiceprint is stored here.",
    needRecording: "A recording is missing.", needStop: "Press Stop first.", needName: "A name is missing.",
    badName: "A browser cannot send this name: add a letter.",
    needConsent: "Ask the person first, then tick the box.", working: "Listening…", looking: "Looking…",
    same: "The same person", different: "Different people",
    isUser: "This is {user}", nobody: "None of the people enrolled here", noUsers: "Nobody is enrolled yet.",
    accepted: "Score {score} reaches the threshold {threshold}.",
    refused: "Score {score} stays below the threshold {threshold}.",
    probability: "Probability that it is one person: {percent} (if it was {prior} before listening).",
    uncalibrated: "Uncalibrated: the score says more or less alike, not how sure that is.",
    margin: "Ahead of the next user by {margin}.", candidates: "Most similar users", user: "User", points: "Score",
    enrolled: "{user} is enrolled", kept: "Voiceprints kept: {count}. The sound itself is not stored.",
    removed: "{user} is erased", count: "Recordings: {count}", until: "Kept until {date}", since: "Since {date}",
    listed: "Enrolled: {count}",
    removeAsk: "Erase {user} and all voiceprints? This cannot be undone.",
    failed: "That did not work", offline: "The service does not answer. Is it still running?",
    errorTooShort: "The recording is too short", errorNoSpeech: "The recording is silent",
    errorAudioError: "The recording cannot be used", errorUnknownUser: "There is no such user",
    errorTooMany: "Too many requests: wait a moment", errorUnavailable: "Not possible at the moment",
    error401: "The service needs a valid API key", error403: "This is not allowed",
    error413: "The recording is too large", keyHelp: "Put your key in the field at the top of the page, then try again.",
    liveness: "A voice can be recorded, imitated and synthesised: a matching voice alone does not prove who is there.",
  },
  zh: {
    title: "谁在说话？", skip: "跳到任务", language: "语言", tasks: "任务",
    key: "API 密钥", keyHint: "仅在服务要求时需要。关闭本页后即被遗忘。",
    identify: "识别", compare: "比较", enrol: "注册", users: "用户",
    identifyLead: "录一段声音或拖入一个文件：说话的是已注册的人吗？",
    compareLead: "给出两段录音：是同一个人在说话吗？",
    enrolLead: "登记一个声音：姓名，以及此人几秒钟的讲话。多段录音会更可靠。",
    usersLead: "所有已注册的人。删除用户会永久抹去其全部声纹。",
    identifyGo: "这是谁？", compareGo: "是同一个人吗？", enrolGo: "注册这个声音",
    removeGo: "永久抹去", keep: "保留", remove: "删除", removeOne: "删除 {user}", more: "显示更多",
    recording: "录音", first: "第一段录音", second: "第二段录音",
    record: "录音", stop: "停止", choose: "选择文件", again: "清除", level: "音量",
    playback: "试听录音", elapsed: "已录时间",
    empty: "按“录音”并说话约五秒，或把声音文件拖到这里。",
    recordingNow: "正在录音。请像平常一样说话，然后按“停止”。", opening: "正在读取文件……",
    good: "声音良好：{seconds} 秒。", goodFile: "{name}：{seconds} 秒。", unseen: "{name}：将由服务读取。",
    short: "只有 {seconds} 秒：三秒以上结果更可靠。",
    quiet: "声音很小：请靠近麦克风。", clipped: "声音过大，已被削波：请稍微离远一些。",
    nothingHeard: "没有录到声音。请再试一次，说完话再按“停止”。",
    microphoneDenied: "麦克风未获允许：请在浏览器中允许，或选择文件。",
    microphoneMissing: "找不到麦克风：请连接一个，或选择文件。",
    microphoneFailed: "无法使用麦克风（{reason}）：请选择文件。",
    microphoneUnsafe: "浏览器只让 https 页面和本机使用麦克风：请选择文件。",
    name: "姓名", consent: "此人同意在这里保存其声纹。",
    needRecording: "还缺少录音。", needStop: "请先按“停止”。", needName: "还缺少姓名。",
    badName: "浏览器无法发送这个名字：请加一个字母。",
    needConsent: "请先征得此人同意，再勾选。", working: "正在听……", looking: "正在查看……",
    same: "同一个人", different: "不同的人",
    isUser: "这是 {user}", nobody: "不是已注册的任何人", noUsers: "还没有人注册。",
    accepted: "得分 {score} 达到阈值 {threshold}。",
    refused: "得分 {score} 低于阈值 {threshold}。",
    probability: "是同一个人的概率：{percent}（若听之前为 {prior}）。",
    uncalibrated: "未校准：得分只说明相似程度，不说明有多确定。",
    margin: "领先下一位用户 {margin}。", candidates: "最相似的用户", user: "用户", points: "得分",
    enrolled: "{user} 已注册", kept: "保存的声纹：{count}。声音本身没有保存。",
    removed: "{user} 已抹去", count: "录音：{count}", until: "保存至 {date}", since: "自 {date}",
    listed: "已注册：{count}",
    removeAsk: "要抹去 {user} 及其全部声纹吗？此操作无法撤销。",
    failed: "没有成功", offline: "服务没有应答。它还在运行吗？",
    errorTooShort: "录音太短", errorNoSpeech: "录音里没有声音",
    errorAudioError: "无法使用这段录音", errorUnknownUser: "没有这个用户",
    errorTooMany: "请求太多：请稍等", errorUnavailable: "目前无法做到",
    error401: "服务需要有效的 API 密钥", error403: "不允许这样做",
    error413: "录音太大", keyHelp: "请在页面顶部填写密钥，然后再试。",
    liveness: "声音可以被录制、模仿和合成：仅凭声音相符不能证明是谁在场。",
  },
};

let language = "en";

/** The language that everything is said in from now on; one that is not spoken here becomes English. */
export function speak(wanted) {
  language = wanted in WORDS ? wanted : "en";
  return language;
}

/** The text of a key with its {places} filled. */
export function say(key, places = {}) {
  return WORDS[language][key].replace(/\{(\w+)\}/g, (_, place) => String(places[place]));
}

export const has = (key) => key in WORDS[language];
export const date = (text) => new Date(text).toLocaleDateString(language, { dateStyle: "medium" });
