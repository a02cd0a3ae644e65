namespace Forengate.Guests;

/// <summary>
/// A source's part in the guard's keeper: one setting, or one connection's, that is put back by the keeper when the guard was killed. Where there is no keeper the guard works without, and says so.
/// From one thread at a time.
/// </summary>
/// <param name="host">The program that becomes the keeper; null: none is wanted.</param>
/// <param name="source">For people: what is listened to.</param>
/// <param name="remark">Where it is said what a killed guard would leave.</param>
internal sealed class HoldLease(WatchdogHost? host, string source, Action<string> remark) : IDisposable
{
    private KeeperProcess? _keeper;
    private int _number;
    private volatile HeldSetting? _held;

    /// <summary>To be called before the setting is changed; once for one that is changed again and again.</summary>
    public void Hold(HeldSetting setting)
    {
        if (host is null || _held == setting)
            return;
        _held = setting;
        try
        {
            if (_keeper is null)
            {
                _keeper = KeeperProcess.Join(host, Lost);
                _number = _keeper.NewNumber();
            }
            if (_keeper.Hold(_number, setting) is { } failure)
                Lost(failure);
        }
        catch (IOException e)
        {
            Lost($"its keeper could not be started: {e.Message}");
        }
    }

    /// <summary>What is to be held can't be told to a keeper.</summary>
    public void Without(string reason, string leftover)
    {
        if (host is not null)
            Say(reason, leftover);
    }

    /// <summary>The setting was put back, or what had it is gone.</summary>
    public void Forget()
    {
        if (_held is null)
            return;
        _held = null;
        _keeper?.Forget(_number);
    }

    /// <summary>What was not forgotten is left to the keeper.</summary>
    public void Dispose()
    {
        _keeper?.Leave(Lost);
        _keeper = null;
    }

    private void Lost(string reason)
    {
        if (_held is { } setting)
            Say(reason, setting.Leftover);
    }

    private void Say(string reason, string leftover) => remark($"{source}: {reason}, so a guard that is killed (kill -9) leaves {leftover}");
}
