using System.Globalization;

namespace Forengate.Guests;

/// <summary>
/// A crash setting that a guard changes for as long as it lives, with what it takes to put it back without the guard. Goes over the control socket as one line of words: what may hold blanks is escaped as in a URI.
/// </summary>
internal abstract record HeldSetting
{
    /// <summary>The name for people.</summary>
    public abstract string Name { get; }

    /// <summary>What stays when nobody puts it back.</summary>
    public abstract string Leftover { get; }

    /// <summary>As words of a message.</summary>
    public abstract string ToMessage();

    /// <summary>Null where the words say nothing that we know.</summary>
    public static HeldSetting? FromMessage(ReadOnlySpan<string> words) => words switch
    {
        [OfMonitor.Word, var socket, var process, var start, var action]
            when int.TryParse(process, NumberStyles.None, CultureInfo.InvariantCulture, out var id) && ulong.TryParse(start, NumberStyles.None, CultureInfo.InvariantCulture, out var since)
            => new OfMonitor(Uri.UnescapeDataString(socket), id, since, Uri.UnescapeDataString(action)),
        [OfLibvirt.Word, var uri] => new OfLibvirt(Uri.UnescapeDataString(uri)),
        _ => null,
    };

    /// <summary>QEMU's action on a panic, set to "pause" over its monitor.</summary>
    /// <param name="Socket">The monitor's path.</param>
    /// <param name="Process">The process that listens there, by the kernel's word.</param>
    /// <param name="Start">Its start in clock ticks; 0 where it can't be seen.</param>
    /// <param name="Action">What QEMU does by itself.</param>
    internal sealed record OfMonitor(string Socket, int Process, ulong Start, string Action) : HeldSetting
    {
        public const string Word = "qmp";

        public override string Name => $"qmp:{Socket}";

        public override string Leftover => $"QEMU's action on a panic at pause (by hand: set-action with panic={Action})";

        /// <summary>True while the QEMU that was held runs: one that was started anew has its own action already.</summary>
        public bool IsThere => StartOf(Process) == Start;

        /// <summary>A process's start; 0 for one that has ended or can't be seen.</summary>
        public static ulong StartOf(int process) => ProcessStat.Read($"/proc/{process}") is { HasEnded: false } stat ? stat.StartTime : 0;

        public override string ToMessage() =>
            string.Create(CultureInfo.InvariantCulture, $"{Word} {Uri.EscapeDataString(Socket)} {Process} {Start} {Uri.EscapeDataString(Action)}");
    }

    /// <summary>on_crash of domains; which, and what it was, stands in the notes that their guard left in them.</summary>
    /// <param name="Connection">libvirt's URI.</param>
    internal sealed record OfLibvirt(string Connection) : HeldSetting
    {
        public const string Word = "libvirt";

        public override string Name => Connection;

        public override string Leftover => "guests' on_crash at preserve, until 'forengate rescue libvirt:NAME' or the next guard";

        public override string ToMessage() => $"{Word} {Uri.EscapeDataString(Connection)}";
    }
}
